//! For tests: events that cannot be recorded, and everything that must then be as it was.

use super::events;
use crate::vault::keys::unlocked::UnlockedVault;

impl UnlockedVault {
    /// Makes the event that is recorded after so many more fail, on this connection.
    pub(crate) fn refuse_event(&self, nth: i64) {
        let last = self.events_recorded();
        self.conn
            .execute_batch(&format!(
                "CREATE TEMP TRIGGER refused BEFORE INSERT ON main.events WHEN NEW.seq = {} \
                 BEGIN SELECT RAISE(ABORT, 'refused by a test'); END",
                last + nth
            ))
            .unwrap();
    }

    /// The last event's number.
    pub(crate) fn events_recorded(&self) -> i64 {
        events::last(&self.conn).unwrap().map_or(0, |last| last.seq)
    }

    /// Every row of every table that is not the record's own, as text.
    pub(crate) fn rows_but_the_record(&self) -> Vec<String> {
        const RECORD: [&str; 6] = ["events", "terms", "actors", "subjects", "actions", "series"];
        let tables: Vec<String> = self
            .conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let mut rows = Vec::new();
        for table in tables
            .iter()
            .filter(|table| !RECORD.contains(&table.as_str()))
        {
            let mut select = self
                .conn
                .prepare(&format!("SELECT * FROM {table}"))
                .unwrap();
            let columns = select.column_count();
            let mut found = select.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells: Vec<String> = (0..columns)
                    .map(|column| format!("{:?}", row.get_ref(column).unwrap()))
                    .collect();
                rows.push(format!("{table}: {}", cells.join(", ")));
            }
        }
        rows
    }
}
