//! Changes one setting of `clawkeep.toml` with the smallest edit of its text. The result is used
//! only if it says what was wanted, and is valid.

use std::path::Path;

use toml::{Table, Value};

use super::OwnSettings;
use super::error::OwnSettingsError;

/// The part in which a setting without one is.
const OWN_PART: &str = "clawkeep";
/// The parts of the settings.
const PARTS: [&str; 4] = [OWN_PART, "agents", "notify", "providers"];

/// The settings that stand for themselves, each with its default as it is written, or with what its
/// absence means. Agents, providers and targets of alerts have no default.
pub const OWN_DEFAULTS: [(&str, Result<&str, &str>); 11] = [
    ("clawkeep.allow_shared_storage", Ok("false")),
    ("clawkeep.expiring_within", Ok("24h")),
    (
        "clawkeep.export",
        Err("a file for a gateway, none without one"),
    ),
    ("clawkeep.fallback", Ok("any")),
    ("clawkeep.heads", Err("heads go to no system log")),
    ("clawkeep.retention", Err("events are kept permanently")),
    ("clawkeep.trusted", Ok("[]")),
    ("notify.ahead", Ok("14d")),
    ("notify.desktop", Ok("false")),
    ("notify.overdue", Ok("72h")),
    ("notify.repeat", Ok("24h")),
];

/// The lines of the longest setting or part that is removed.
const LINES_MAX: usize = 100;

/// A setting's place: the parts that lead to it, and its name.
struct Key {
    parts: Vec<String>,
    name: String,
}

/// Whether a name needs no quotes in TOML.
fn is_plain(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(is_of_name)
}

impl Key {
    fn parse(key: &str) -> Option<Self> {
        let mut parts: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        if !parts.iter().all(|part| is_plain(part)) {
            return None;
        }
        let name = parts.pop()?;
        if parts.is_empty() && !PARTS.contains(&name.as_str()) {
            parts.push(OWN_PART.to_owned());
        }
        Some(Self { parts, name })
    }

    /// The table that this setting is in, as a setting.
    fn above(&self) -> Option<Self> {
        let (name, parts) = self.parts.split_last()?;
        Some(Self {
            parts: parts.to_vec(),
            name: name.clone(),
        })
    }

    fn path(&self) -> String {
        let parts = self.parts.iter().chain([&self.name]);
        parts.map(String::as_str).collect::<Vec<_>>().join(".")
    }

    fn header(&self) -> String {
        format!("[{}]", self.parts.join("."))
    }

    fn get<'t>(&self, table: &'t Table) -> Option<&'t Value> {
        let mut table = table;
        for part in &self.parts {
            table = table.get(part)?.as_table()?;
        }
        table.get(&self.name)
    }

    fn put(&self, table: &mut Table, value: Value) -> Option<()> {
        let mut table = table;
        for part in &self.parts {
            let below = table
                .entry(part.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            table = below.as_table_mut()?;
        }
        table.insert(self.name.clone(), value);
        Some(())
    }

    fn remove(&self, table: &mut Table) -> Option<Value> {
        let mut table = table;
        for part in &self.parts {
            table = table.get_mut(part)?.as_table_mut()?;
        }
        table.remove(&self.name)
    }
}

/// The value of a setting in a settings file's text, with its whole path; `None` if it is not set
/// there. `key` is its path, such as `clawkeep.retention`; a name alone is one of `[clawkeep]`.
///
/// # Errors
/// When the text is no TOML.
pub fn own_setting(
    path: &Path,
    text: &str,
    key: &str,
) -> Result<Option<(String, Value)>, OwnSettingsError> {
    OwnSettings::parse(path, text)?;
    let table: Table = toml::from_str(text).unwrap_or_default(); // it was just parsed
    Ok(Key::parse(key).and_then(|key| Some((key.path(), key.get(&table)?.clone()))))
}

/// Whether there is such a setting, or such a part of the settings. `key` is as for
/// [`own_setting`].
#[must_use]
pub fn is_own_setting(key: &str) -> bool {
    let Some(key) = Key::parse(key) else {
        return false;
    };
    let is_unknown = |error: &OwnSettingsError| error.to_string().contains("unknown field");
    let is_known = |text: &str| match OwnSettings::parse(Path::new(""), text) {
        Ok(own) => own
            .notify_fault
            .is_none_or(|fault| !is_unknown(&fault.error())),
        Err(error) => !is_unknown(&error),
    };
    // A value of no setting's type leads to another error.
    key.parts.is_empty() || is_known(&format!("{} = []", key.path()))
}

/// The settings that a settings file's text has, each with its path, in the order of the paths.
///
/// # Errors
/// When the text is no TOML.
pub fn list_own_settings(
    path: &Path,
    text: &str,
) -> Result<Vec<(String, Value)>, OwnSettingsError> {
    fn collect(table: &Table, path: &str, found: &mut Vec<(String, Value)>) {
        for (name, value) in table {
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            match value {
                Value::Table(below) => collect(below, &path, found),
                value => found.push((path, value.clone())),
            }
        }
    }
    OwnSettings::parse(path, text)?;
    let table: Table = toml::from_str(text).unwrap_or_default(); // it was just parsed
    let mut found = Vec::new();
    collect(&table, "", &mut found);
    Ok(found)
}

/// A value as it is written in TOML.
fn literal(written: &str) -> Option<Value> {
    let table: Table = toml::from_str(&format!("x = {written}")).ok()?;
    (table.len() == 1).then(|| table.get("x").cloned())?
}

/// The text of a settings file that is no TOML, because of one setting's line, after that setting
/// was given a value.
fn repaired(path: &Path, text: &str, place: &Key, typed: &str) -> Result<String, OwnSettingsError> {
    let quoted = serde_json::Value::from(typed).to_string();
    let mut refused = None;
    for written in [typed.trim(), quoted.as_str()] {
        let Some(value) = literal(written) else {
            continue;
        };
        let after = replaced(text, place, written);
        let table: Option<Table> = toml::from_str(&after).ok();
        if table.is_none_or(|table| place.get(&table) != Some(&value)) {
            continue;
        }
        match parse_all(path, &after) {
            Ok(()) => return Ok(after),
            Err(error) => refused = Some(error),
        }
    }
    // Another line is at fault where no candidate became TOML.
    match refused {
        Some(error) => Err(error),
        None => Err(parse_all(path, text).err().unwrap_or_else(|| by_hand(path))),
    }
}

/// Checks a settings file's text, that of alerts included.
fn parse_all(path: &Path, text: &str) -> Result<(), OwnSettingsError> {
    match OwnSettings::parse(path, text)?.notify_fault {
        Some(fault) => Err(fault.error()),
        None => Ok(()),
    }
}

/// The text of a settings file after one setting was given a value, as it is typed: a word, a
/// number, `true`, or a value in TOML.
///
/// # Errors
/// When the settings would then not be valid, or only a person can make the change.
pub fn with_own_setting(
    path: &Path,
    text: &str,
    key: &str,
    typed: &str,
) -> Result<String, OwnSettingsError> {
    let place = Key::parse(key).ok_or_else(|| {
        let what =
            "a setting's name is such as clawkeep.retention: letters, digits, _, -, and dots";
        fault(path, what)
    })?;
    let Ok(before) = toml::from_str::<Table>(text) else {
        return repaired(path, text, &place, typed);
    };
    let quoted = serde_json::Value::from(typed).to_string();
    let candidates = [typed.trim(), quoted.as_str()];
    let mut refused = None;
    for written in candidates {
        let Some(value) = literal(written) else {
            continue;
        };
        let mut wanted = before.clone();
        let is_list = value.is_array() || value.is_table();
        place.put(&mut wanted, value).ok_or_else(|| by_hand(path))?;
        let ways = std::iter::once(replaced(text, &place, written));
        let after = edited(path, text, (&place, &wanted), ways)?;
        match parse_all(path, &after) {
            Ok(()) => return Ok(after),
            Err(error) => refused = Some(error),
        }
        if is_list {
            break; // as a text it would be something else
        }
    }
    Err(refused.unwrap_or_else(|| fault(path, "that is no value")))
}

/// The text of a settings file without one setting, or one part of the settings; `None` if it is
/// not set there. `key` is as for [`own_setting`].
///
/// # Errors
/// When the text is no TOML, or only a person can make the change.
pub fn without_own_setting(
    path: &Path,
    text: &str,
    key: &str,
) -> Result<Option<String>, OwnSettingsError> {
    let Some(mut place) = Key::parse(key) else {
        return Ok(None);
    };
    let Ok(mut wanted) = toml::from_str::<Table>(text) else {
        // A line that can be given a value is that setting's.
        let marked = repaired_mark(text, &place);
        let after = marked.map(|marked| without_own_setting(path, &marked, key));
        return match after.transpose()?.flatten() {
            Some(after) => Ok(Some(after)),
            None => parse_all(path, text).map(|()| None),
        };
    };
    if place.remove(&mut wanted).is_none() {
        if key.trim() != place.name || wanted.remove(&place.name).is_none() {
            return Ok(None);
        }
        place.parts.clear(); // a name outside the parts, which is a mistake
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // A value, or a part below its header, is one line or several: the fewest are taken out.
    let starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].contains(&place.name))
        .collect();
    let counts = 1..=lines.len().min(LINES_MAX);
    let ranges = counts.flat_map(|count| starts.iter().map(move |start| (*start, *start + count)));
    let ranges = ranges.filter(|(_, end)| *end <= lines.len());
    let ways = ranges.map(|(start, end)| [&lines[..start], &lines[end..]].concat().concat());
    let after = edited(path, text, (&place, &wanted), ways)?;
    OwnSettings::parse(path, &after)?;
    Ok(Some(after))
}

/// The text of a settings file that is no TOML, with `true` for a setting whose line is why.
fn repaired_mark(text: &str, place: &Key) -> Option<String> {
    let marked = replaced(text, place, "true");
    let table: Table = toml::from_str(&marked).ok()?;
    (place.get(&table) == Some(&Value::Boolean(true))).then_some(marked)
}

fn fault(path: &Path, what: &str) -> OwnSettingsError {
    OwnSettingsError::Invalid {
        path: path.to_owned(),
        line: 1,
        what: what.to_owned(),
    }
}

fn by_hand(path: &Path) -> OwnSettingsError {
    fault(
        path,
        "that part is written in a way that only a person can change",
    )
}

/// The first of the texts that says what is wanted. After them, each table above the setting is
/// written again in one line, as it may have been.
fn edited(
    path: &Path,
    text: &str,
    (place, wanted): (&Key, &Table),
    ways: impl Iterator<Item = String>,
) -> Result<String, OwnSettingsError> {
    let above = std::iter::successors(place.above(), Key::above);
    let above = above.filter_map(|key| Some(replaced(text, &key, &in_one_line(key.get(wanted)?))));
    let wanted = without_empty_parts(wanted);
    let is_wanted = |after: &String| {
        let got = toml::from_str::<Table>(after);
        got.is_ok_and(|got| without_empty_parts(&got) == wanted)
    };
    ways.chain(above)
        .find(is_wanted)
        .ok_or_else(|| by_hand(path))
}

/// The table without its empty tables, which say nothing.
fn without_empty_parts(table: &Table) -> Table {
    let parts = table.iter().map(|(name, value)| {
        let value = match value {
            Value::Table(below) => Value::Table(without_empty_parts(below)),
            other => other.clone(),
        };
        (name.clone(), value)
    });
    let is_empty = |value: &Value| value.as_table().is_some_and(Table::is_empty);
    parts.filter(|(_, value)| !is_empty(value)).collect()
}

/// A value in TOML, in one line.
fn in_one_line(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(is) => is.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_one_line).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let fields = table.iter().map(|(name, value)| {
                let name = if is_plain(name) {
                    name.clone()
                } else {
                    quoted(name)
                };
                format!("{name} = {}", in_one_line(value))
            });
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The text with a line for the setting: in place of the one there is, else below its header, else
/// at the end.
fn replaced(text: &str, key: &Key, written: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = format!("{} = {written}", key.name);
    let is_header = |line: &String| line.trim_start().starts_with('[');
    let without_comment = |line: &String| line.split('#').next().unwrap_or_default().to_owned();
    let header = lines.iter().position(|line| {
        let line: String = without_comment(line).split_whitespace().collect();
        line == key.header()
    });
    let names = |line: &String, name: &str| {
        let before = line.split_once('=').map(|(before, _)| before.trim());
        before.is_some_and(|before| before == name)
    };
    let root_end = lines.iter().position(is_header).unwrap_or(lines.len());
    let dotted = key.path();
    if let Some(at) = (0..root_end).find(|at| names(&lines[*at], &dotted)) {
        lines[at] = format!("{dotted} = {written}{}", comment_of(&lines[at]));
        return lines.join("\n") + "\n";
    }
    let Some(header) = header else {
        if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            lines.push(String::new());
        }
        lines.extend([key.header(), line]);
        return lines.join("\n") + "\n";
    };
    let end = (header + 1..lines.len()).find(|at| is_header(&lines[*at]));
    let end = end.unwrap_or(lines.len());
    match (header + 1..end).find(|at| names(&lines[*at], &key.name)) {
        Some(at) => lines[at] = format!("{line}{}", comment_of(&lines[at])),
        None => {
            let last = (header..end).rev().find(|at| !lines[*at].trim().is_empty());
            lines.insert(last.unwrap_or(header) + 1, line);
        }
    }
    lines.join("\n") + "\n"
}

/// The comment at the end of a line with a setting, with the blank before it.
fn comment_of(line: &str) -> String {
    let at = line.rfind('#').filter(|at| {
        // One inside the value is no comment.
        toml::from_str::<Table>(&line[..*at]).is_ok_and(|table| !table.is_empty())
    });
    at.map_or_else(String::new, |at| format!("  {}", &line[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, key: &str, value: &str) -> Result<String, String> {
        let path = Path::new("/s/clawkeep.toml");
        with_own_setting(path, text, key, value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_is_changed_where_it_is_and_nothing_else() {
        let text = "# mine\n[clawkeep]\nretention = \"400d\"  # a year\n\n[agents.ops]\nexport = \
                    \"off\"\n";
        assert_eq!(
            set(text, "retention", "30d").unwrap(),
            text.replace("400d", "30d")
        );
        assert_eq!(
            set(text, "clawkeep.fallback", "none").unwrap(),
            text.replace("# a year\n", "# a year\nfallback = \"none\"\n")
        );
        assert_eq!(
            set(text, "agents.ops.export", "file").unwrap(),
            text.replace("\"off\"", "\"file\"")
        );
        assert_eq!(
            set("", "allow_shared_storage", "true").unwrap(),
            "[clawkeep]\nallow_shared_storage = true\n"
        );
        let foo = "[providers]\nfoo = { client_id = \"c\" }\n";
        let after = set(foo, "providers.foo.scopes", "a b").unwrap();
        let table: Table = toml::from_str(&after).unwrap();
        assert_eq!(table["providers"]["foo"]["scopes"].as_str(), Some("a b"));
        assert_eq!(table["providers"]["foo"]["client_id"].as_str(), Some("c"));
        assert_eq!(
            set("clawkeep = { retention = \"9d\" }", "retention", "8d").unwrap(),
            "clawkeep = { retention = \"8d\" }\n"
        );
        assert_eq!(
            set("clawkeep.retention = \"9d\"", "retention", "8d").unwrap(),
            "clawkeep.retention = \"8d\"\n"
        );
    }

    #[test]
    fn a_setting_is_removed_with_its_lines_and_nothing_else() {
        let path = Path::new("/s/clawkeep.toml");
        let unset = |text: &str, key: &str| without_own_setting(path, text, key).unwrap();
        let text = "# mine\n[clawkeep]\nretention = \"400d\"  # a year\nfallback = \"none\"\n\n\
                    [agents.ops]\nexport = \"off\"\n\n[providers.p]\nscopes = \"a\"\nenv = [\n  \
                    \"A_KEY\",\n]\n";
        for (key, gone) in [
            ("retention", "retention = \"400d\"  # a year\n"),
            ("clawkeep.fallback", "fallback = \"none\"\n"),
            ("agents.ops.export", "export = \"off\"\n"),
            ("agents.ops", "[agents.ops]\nexport = \"off\"\n"),
            ("providers.p.env", "env = [\n  \"A_KEY\",\n]\n"),
        ] {
            let after = unset(text, key).unwrap();
            let is_less = after == text.replace(gone, "");
            // The header of a part that is left empty may stay.
            assert!(
                is_less || after == text.replace("[agents.ops]\nexport = \"off\"\n", ""),
                "{key}: {after}"
            );
        }
        for key in ["heads", "agents.none", "a b", ""] {
            assert_eq!(unset(text, key), None, "{key}");
        }
        assert_eq!(
            unset("clawkeep.retention = \"9d\"\n", "retention").unwrap(),
            ""
        );
        let inline = "clawkeep = { retention = \"9d\", fallback = \"none\" }\n";
        let after = unset(inline, "retention").unwrap();
        assert_eq!(after, "clawkeep = { fallback = \"none\" }\n");
    }

    #[test]
    fn the_defaults_are_those_of_settings_that_say_nothing() {
        let path = Path::new("/s/clawkeep.toml");
        let mut text = String::new();
        for (key, default) in OWN_DEFAULTS {
            assert!(is_own_setting(key), "{key}");
            if let Ok(written) = default {
                text = with_own_setting(path, &text, key, written).unwrap();
            }
        }
        let mut own = OwnSettings::parse(path, &text).unwrap();
        assert_eq!(
            own.expiring_within.take().map(|span| span.ms()),
            Some(24 * 3_600_000)
        );
        assert_eq!(own, OwnSettings::default(), "{text}");
    }

    #[test]
    fn an_unknown_name_outside_the_parts_is_removed() {
        let good = "[clawkeep]\nfallback = \"none\"\n";
        for text in ["foo = 1\nA", "A[foo]\nbar = 2\n"].map(|text| text.replace('A', good)) {
            let after = without_own_setting(Path::new("/s"), &text, "foo").unwrap();
            assert_eq!(after.as_deref(), Some(good), "{text}");
        }
    }

    #[test]
    fn a_wrong_value_is_repaired_by_its_own_setting_alone() {
        let path = Path::new("/s/clawkeep.toml");
        let unset = |text: &str, key: &str| without_own_setting(path, text, key).ok();
        for wrong in ["\"soon\"", "400d", "[", "\"9d", "true"] {
            let text = format!(
                "# mine\n[clawkeep]\nretention = {wrong}\nfallback = \"none\"\n[agents.ops]\n\
                 export = \"off\"\n"
            );
            let good = text.replace(&format!("= {wrong}"), "= \"9d\"");
            assert_eq!(set(&text, "retention", "9d"), Ok(good), "{wrong}");
            let without = text.replace(&format!("retention = {wrong}\n"), "");
            assert_eq!(unset(&text, "retention"), Some(Some(without)), "{wrong}");
            assert!(set(&text, "retention", "soon").is_err(), "{wrong}");
            // Another one is not at fault.
            assert!(set(&text, "fallback", "none").is_err(), "{wrong}");
            assert_eq!(unset(&text, "fallback"), None, "{wrong}");
            assert_eq!(
                unset(&text, "agents.ops.retention").flatten(),
                None,
                "{wrong}"
            );
        }
        assert!(set("[clawkeep]\nretention = [\n  1,\nx\n", "retention", "9d").is_err());
    }

    #[test]
    fn a_setting_is_known_whether_it_is_set_or_not() {
        for key in [
            "retention",
            "clawkeep.heads",
            "agents.ops.export",
            "agents",
            "notify",
            "notify.webhook",
            "notify.ahead",
            "providers.p.env",
            "providers.p",
        ] {
            assert!(is_own_setting(key), "{key}");
        }
        for key in [
            "NOSUCH",
            "clawkeep.no",
            "agents.ops.no",
            "notify.no",
            "providers.p.no",
            "no.such",
            "",
            "a b",
        ] {
            assert!(!is_own_setting(key), "{key}");
        }
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        for (key, value) in [
            ("retention", "soon"),
            ("no_such", "1"),
            ("a..b", "1"),
            ("clawkeep", "1"),
            ("fallback", "a\nb = 1"),
        ] {
            assert!(set("[clawkeep]\n", key, value).is_err(), "{key} {value}");
        }
        assert!(set("[clawkeep\n", "retention", "9d").is_err());
        let why = set("", "providers.foo.env", "[\"BASH_ENV\"]").unwrap_err();
        assert!(why.contains("programs act on"), "{why}");
    }
}
