//! Tests that every query of the record uses an index: SQLite's plan of each is examined.

use std::path::Path;

use rusqlite::Connection;

use super::{history, summary, timeline};
use crate::vault::file::schema;
use crate::vault::log::{events, runs, series};
use crate::vault::store::{grants, observed};

/// The statements that ask the record something, each with what its plan must name.
fn queries() -> Vec<(String, &'static str)> {
    let by_series = "SEARCH events USING COVERING INDEX events_series (subject=? AND action=?";
    let by_change = "events USING COVERING INDEX events_change (subject=?";
    let by_seq = "SEARCH events USING INTEGER PRIMARY KEY (rowid";
    let mut all = vec![
        (history::NEWEST.to_owned(), by_series),
        (history::OLDEST.to_owned(), by_series),
        (history::through_sql("DESC"), by_seq),
        (history::through_sql("ASC"), by_seq),
        (history::one_sql(), by_seq),
        (summary::COUNT.to_owned(), by_series),
        (
            summary::DETAILS.to_owned(),
            "SEARCH events USING INDEX events_series (subject=? AND action=?",
        ),
        (
            summary::EXCHANGES.to_owned(),
            "SEARCH events USING INDEX events_series (subject=? AND action=?",
        ),
        (summary::CHANGE.to_owned(), by_change),
        (timeline::SEQS.to_owned(), by_series),
        (
            timeline::changes_sql(),
            "SEARCH events USING INDEX events_change (subject=?",
        ),
        (runs::FROM.to_owned(), by_seq),
        (runs::STEPS.to_owned(), "SCAN clock_steps"), // as many rows as the clock was set back
        (
            events::NEWEST_OF_KIND.to_owned(),
            "events_series (subject=? AND action=?",
        ),
        (
            observed::NOTED.to_owned(),
            "sqlite_autoindex_profiles_1 (agent=? AND profile=?",
        ),
        (observed::SKIPS.to_owned(), "PRIMARY KEY (agent=?"),
        (grants::GRANT.to_owned(), "PRIMARY KEY (print=?"),
        (
            series::SUBJECT.to_owned(),
            "SEARCH subjects USING COVERING INDEX subjects_",
        ),
        (
            series::ACTION.to_owned(),
            "COVERING INDEX actions_what (kind=? AND outcome=? AND origin=? AND provider=? AND \
             actor=?",
        ),
        (series::OF_SUBJECT.to_owned(), "PRIMARY KEY (subject=?"),
        (series::OF_ACTION.to_owned(), "series_action (action=?"),
    ];
    for (columns, index) in [
        (&["kind"][..], "actions_what (kind=?"),
        (&["kind", "origin"], "actions_"),
        (&["provider", "outcome", "kind"], "actions_"),
        (&["provider"], "actions_provider (provider=?"),
        (&["origin"], "actions_origin (origin=?"),
        (&["outcome"], "actions_outcome (outcome=?"),
        (&["origin", "outcome"], "actions_"),
    ] {
        all.push((series::ids_sql("actions", columns), index));
    }
    for (columns, index) in [
        (&["profile"][..], "subjects_profile (profile=?"),
        (&["agent"], "subjects_agent (agent=?"),
        (
            &["profile", "agent"],
            "SEARCH subjects USING COVERING INDEX subjects_",
        ),
    ] {
        all.push((series::ids_sql("subjects", columns), index));
    }
    all
}

#[test]
fn every_query_of_the_record_goes_by_an_index() {
    let mut conn = Connection::open_in_memory().unwrap();
    schema::migrate(&mut conn, Path::new("memory")).unwrap();
    for (sql, index) in queries() {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec![rusqlite::types::Null; explain.parameter_count()];
        let steps: Vec<String> = explain
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(
            steps.iter().any(|step| step.contains(index)),
            "{sql}: {steps:#?}, not {index}"
        );
        for step in &steps {
            assert!(
                !step.starts_with("SCAN events") && !step.contains("TEMP B-TREE FOR DISTINCT"),
                "{sql}: {step}"
            );
            assert!(!step.contains("AUTOMATIC"), "{sql}: {step}");
        }
    }
}
