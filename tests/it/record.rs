//! The commands of the record: what they say, in every shape, with what they are given.

use std::collections::BTreeSet;
use std::fs;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::damage::{
    TOKEN_MARK, assert_private, home_with_vault, key_file, refused, refuses,
};
use crate::support::home::{CLAUDE, HOUR, Home, Run, STORE, now_ms};

/// A home in which this and that has happened; every token in it begins with [`TOKEN_MARK`].
fn home() -> Home {
    let home = home_with_vault();
    for args in [
        &["models", "auth", "mark", "openai:default", "--used"][..],
        &[
            "models",
            "auth",
            "mark",
            "openai:default",
            "--failed",
            "rate_limit",
        ],
        &["models", "auth", "mark", "openai:default", "--clear"],
        &[
            "models",
            "auth",
            "order",
            "set",
            "--provider",
            "anthropic",
            "anthropic:claude-cli",
        ],
    ] {
        home.run(args).ok();
    }
    home.claude_login("sk-test-claude-2", 200);
    home.run(&["sync"]).ok();
    home
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events
        .iter()
        .map(|event| event["seq"].as_i64().unwrap())
        .collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_shape_says_the_same() {
    let home = home();
    let whole = home.events();
    assert!(whole.len() > 8);
    assert_eq!(lines(&home.run(&["history", "--jsonl"]).ok()), whole);
    let mut oldest_first = whole.clone();
    oldest_first.reverse();
    assert_eq!(
        lines(&home.run(&["history", "--jsonl", "--reverse"]).ok()),
        oldest_first
    );
    let csv = home.run(&["history", "--csv"]).ok();
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let header = rows.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), whole.len());
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    for (row, event) in rows.iter().zip(&whole) {
        for (column, json) in [
            ("kind", &event["kind"]),
            ("profile", &event["profile"]),
            ("at", &event["at"]),
            ("host", &event["actor"]["host"]),
            ("parent", &event["actor"]["parent"]),
            ("mac", &event["mac"]),
            ("token_after", &event["token"]["after"]),
        ] {
            assert_eq!(
                row[place(column)],
                *json.as_str().unwrap_or_default(),
                "{column} of {event}"
            );
        }
        let detail = event
            .get("detail")
            .map(ToString::to_string)
            .unwrap_or_default();
        assert_eq!(row[place("detail")], detail);
    }
    // The table has a line for each, and says when there is more.
    let table = home.run(&["history", "--limit", "0"]).ok();
    assert_eq!(table.lines().count(), whole.len() + 1);
    let some = home.run(&["history", "--limit", "3"]);
    assert_eq!(
        (some.stdout.lines().count(), some.stderr.trim()),
        (
            4,
            "Unverified; see: clawkeep audit verify\nMore events match. To see all: --limit 0"
        )
    );
    let three = home
        .run(&["history", "--limit", "3", "--reverse", "--json"])
        .json();
    assert_eq!(seqs(three["events"].as_array().unwrap()), [1, 2, 3]);
    assert_eq!(
        home.run(&["history", "--limit", &whole.len().to_string()])
            .stderr,
        "Unverified; see: clawkeep audit verify\n"
    );
}

#[test]
fn filters_narrow_the_answer() {
    let home = home();
    let told = |args: &[&str]| {
        let run = home.run(&[&["history", "--json"], args].concat()).json();
        run["events"].as_array().unwrap().clone()
    };
    let kinds = |args: &[&str]| -> BTreeSet<String> {
        told(args)
            .iter()
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let set = |kinds: &[&str]| {
        kinds
            .iter()
            .map(|kind| (*kind).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(kinds(&["--outcome", "failed"]), set(&["credential.failed"]));
    assert_eq!(kinds(&["--origin", "claude-code"]), set(&["sync.applied"]));
    assert_eq!(told(&["--origin", "claude-code"]).len(), 2);
    // Claude Code's second token is a refresh; the first was none.
    assert_eq!(told(&["--kind", "refresh"]).len(), 1);
    assert_eq!(
        kinds(&["--kind", "cooldown", "--kind", "order.set"]),
        set(&["cooldown.set", "cooldown.cleared", "order.set"])
    );
    assert_eq!(
        kinds(&[
            "--profile",
            "openai:default",
            "--origin",
            "clawkeep",
            "--outcome",
            "ok"
        ]),
        set(&["credential.used", "cooldown.set", "cooldown.cleared"])
    );
    assert!(told(&["--until", "2020-01-01"]).is_empty());
    assert_eq!(told(&["--since", "1h"]).len(), home.events().len());
    for (args, words) in [
        (&["--origin", "nowhere"][..], "clawkeep, claude-code"),
        (&["--outcome", "maybe"], "ok, failed, skipped"),
        (
            &["--since", "1h", "--until", "2h"],
            "--since is not before --until",
        ),
        (&["--json", "--csv"], "cannot be used with"),
        (&["--chart", "--kind", "refresh"], "cannot be used with"),
        (&["uses", "--kind", "refresh"], "--kind"),
        (&["at"], "TIME"),
        (&["at", "someday"], "a time is a span"),
    ] {
        refuses(&home, &[&["history"], args].concat(), 64, &[words]);
    }
}

#[test]
fn uses_and_refreshes_are_counted() {
    let home = home();
    let uses = home.run(&["history", "uses", "--json"]).json();
    assert_eq!(uses["uses"].as_array().unwrap().len(), 1);
    let uses = &uses["uses"][0];
    assert_eq!(
        (&uses["profile"], &uses["count"], &uses["failed"]),
        (&json!("openai:default"), &json!(1), &json!(1))
    );
    assert_eq!(uses["by"][0]["count"], 1);
    assert_eq!(uses["by"][0]["program"], "clawkeep");
    assert!(uses["by"][0]["parent"].is_string() && uses["by"][0]["host"].is_string());
    let refreshes = home.run(&["history", "refreshes", "--json"]).json();
    let refreshes = &refreshes["refreshes"][0];
    assert_eq!(
        (
            &refreshes["profile"],
            &refreshes["succeeded"],
            &refreshes["failed"]
        ),
        (&json!("anthropic:claude-cli"), &json!(1), &json!(0))
    );
    assert!(refreshes["due"].as_str() > refreshes["last"].as_str());
    for (args, columns) in [
        (&["history", "uses"][..], "PROFILE"),
        (&["history", "refreshes"], "PROFILE"),
        (&["history", "uses", "--csv"], "agent,profile"),
        (&["history", "refreshes", "--csv"], "agent,profile"),
    ] {
        let said = home.run(args).ok();
        assert!(
            said.starts_with(columns) && said.lines().count() == 2,
            "{args:?}: {said}"
        );
    }
    assert_eq!(
        lines(&home.run(&["history", "uses", "--jsonl"]).ok()),
        std::slice::from_ref(uses)
    );
    let none = home.run(&["history", "uses", "--until", "2020-01-01"]);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.trim()),
        (
            "",
            "Unverified; see: clawkeep audit verify\nNo use is recorded that matches."
        )
    );
}

#[test]
fn which_credential_was_there_at_a_time() {
    let home = home();
    let now = home.run(&["history", "at", "0s", "--json"]).json();
    let profiles: Vec<&Value> = now["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|credential| &credential["profile"])
        .collect();
    assert_eq!(profiles, ["anthropic:claude-cli", "openai:default"]);
    assert_eq!(now["credentials"][1]["lastUsedOfProvider"], true);
    assert_eq!(now["credentials"][0]["state"], "valid");
    let table = home
        .run(&["history", "at", "0s", "--provider", "openai"])
        .ok();
    assert!(
        table.contains("valid")
            && table.contains("last of its provider")
            && !table.contains("anthropic"),
        "{table}"
    );
    let before = home.run(&["history", "at", "2020-01-01"]);
    assert_eq!(before.stdout, "");
    assert!(
        before.stderr.contains("has no credential"),
        "{}",
        before.stderr
    );
}

/// None of it waits for a key, and none of it says a secret.
#[test]
fn asking_needs_no_key_and_tells_no_secret() {
    let home = home();
    fs::remove_file(key_file(&home)).unwrap();
    for args in [
        &["history"][..],
        &["history", "--jsonl"],
        &["history", "--csv"],
        &["history", "--chart"],
        &["history", "uses"],
        &["history", "refreshes"],
        &["history", "at", "0s"],
        &["audit", "head"],
        &["audit", "export", "--to", "-"],
        &["report", "--to", "-"],
    ] {
        let run = home.run(args).exits(0);
        assert!(!run.stdout.is_empty(), "{args:?}");
        for secret in [TOKEN_MARK, "refresh-of-"] {
            assert!(
                !run.stdout.contains(secret) && !run.stderr.contains(secret),
                "{args:?}: {secret}"
            );
        }
    }
    home.run(&["audit", "verify"]).exits(77);
    home.run(&["audit", "prune", "--before", "1d"]).exits(77);
}

/// Runs on a terminal of so many columns.
fn on_columns(home: &Home, columns: u32, args: &str) -> String {
    on_terminal(home, (columns, 24), "", args)
}

/// Runs on a terminal of so many columns and rows, with a pager.
fn on_terminal(home: &Home, (columns, rows): (u32, u32), pager: &str, args: &str) -> String {
    let line = format!(
        "stty cols {columns} rows {rows}; {} {args}",
        home.command(&[]).get_program().display()
    );
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .env("LANG", "C.UTF-8")
        .env("CLAWKEEP_PAGER", pager)
        .env("OPENAI_API_KEY", "sk-test-of-the-environment")
        .current_dir(home.path());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn width(line: &str) -> usize {
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("\u{1b}[") {
        text.push_str(&rest[..start]);
        rest = rest[start..].split_once('m').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.trim_end_matches('\r').chars().count()
}

#[cfg(unix)]
#[test]
fn tables_and_charts_fit_the_terminal() {
    let home = home();
    for columns in [40, 60, 80, 100, 132, 200] {
        for args in [
            "history",
            "history --columns",
            "status",
            "ls",
            "history uses",
            "history refreshes",
            "history at 0s",
            "history --chart --since 1h",
        ] {
            let said = on_columns(&home, columns, args);
            assert!(said.lines().count() >= 2, "{args}: {said}");
            for line in said.lines() {
                assert!(
                    width(line) <= columns as usize,
                    "{args} at {columns}: {line:?}"
                );
            }
        }
    }
    // What counts is still there on the narrowest.
    let narrow = on_columns(&home, 40, "history --columns");
    for word in [
        "sync.applied",
        "anthropic:claude-cli",
        "claude-code",
        "expires 20",
    ] {
        assert!(narrow.contains(word), "{word} in {narrow}");
    }
    let chart = on_columns(&home, 80, "history --chart --since 1h");
    for word in [
        "anthropic:claude-cli",
        "openai:default",
        "now",
        "valid",
        "refresh",
    ] {
        assert!(chart.contains(word), "{word} in {chart}");
    }
    // Elsewhere nothing is cut, and without a UTF-8 locale nothing but ASCII is drawn.
    let plain = home.run(&["history", "--chart", "--since", "1h"]).ok();
    assert!(plain.is_ascii(), "{plain}");
}

#[cfg(unix)]
#[test]
fn people_read_sentences_and_programs_columns() {
    let home = home();
    let read = on_columns(&home, 100, "history");
    for sentence in [
        "claude-code refreshed anthropic:claude-cli, valid 8d",
        "used openai:default",
        "was refused with openai:default: rate_limit",
        "clawkeep put openai:default in cooldown until 20",
        "clawkeep set the order of anthropic: anthropic:claude-cli",
        "clawkeep created the vault",
    ] {
        assert!(read.contains(sentence), "{sentence}: {read}");
    }
    assert!(on_columns(&home, 100, "history --columns").contains("TIME"));
    assert!(home.run(&["history"]).ok().starts_with("TIME"));
}

#[cfg(unix)]
#[test]
fn a_long_answer_goes_through_the_pager() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = home();
    let script = "#!/bin/sh\nenv > \"$HOME/given\"\ncat > \"$HOME/paged\"\n";
    home.write("pager", script);
    let pager = home.at("pager");
    fs::set_permissions(&pager, fs::Permissions::from_mode(0o700)).unwrap();
    let pager = pager.to_str().unwrap();
    let shown = on_terminal(&home, (80, 5), pager, "history");
    assert!(!shown.contains("openai:default"), "{shown}");
    assert!(home.read("paged").contains("clawkeep created the vault"));
    let given = home.read("given");
    assert!(
        given.contains("TERM=") && !given.contains("sk-test"),
        "{given}"
    );
    for args in ["history uses", "history at 0s"] {
        fs::remove_file(home.at("paged")).unwrap();
        on_terminal(&home, (80, 2), pager, args);
        let paged = home.read("paged");
        assert!(paged.contains("openai:default"), "{args}: {paged}");
    }
    // Not if it fits, not if it is not wanted, not elsewhere; a pager that is missing is none.
    fs::remove_file(home.at("paged")).unwrap();
    for (rows, pager, args) in [
        (200, pager, "history"),
        (5, pager, "history --no-pager"),
        (5, "", "history"),
        (5, "/nowhere/pager -x", "history"),
    ] {
        let shown = on_terminal(&home, (80, rows), pager, args);
        assert!(
            shown.contains("clawkeep created the vault"),
            "{args}: {shown}"
        );
        assert!(!shown.contains("nowhere"), "{shown}");
    }
    let mut elsewhere = home.command(&["history"]);
    elsewhere.env("CLAWKEEP_PAGER", pager);
    assert!(home.output_of(elsewhere).ok().starts_with("TIME"));
    assert!(!home.at("paged").exists());
}

#[cfg(unix)]
#[test]
fn what_is_recorded_is_followed_until_nobody_reads() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;
    let home = home();
    let newest = home.events();
    let mut command = home.command(&["history", "--follow", "--json", "--limit", "2"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || -> Value {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!([next(), next()], [newest[1].clone(), newest[0].clone()]);
    for _ in 0..2 {
        home.run(&["models", "auth", "mark", "openai:default", "--used"])
            .ok();
        let newest = home.events();
        assert_eq!(newest[1]["kind"], "credential.used");
        assert_eq!([next(), next()], [newest[1].clone(), newest[0].clone()]);
    }
    drop(out);
    assert!(child.wait().unwrap().success());
    // No limit: the whole record comes first.
    let mut all = home.command(&["history", "--follow", "--json", "--limit", "0"]);
    all.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut all = all.spawn().unwrap();
    let lines = BufReader::new(all.stdout.take().unwrap()).lines();
    let events = home.events();
    let found: Vec<Value> = lines
        .take(events.len())
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert!(found.iter().eq(events.iter().rev()));
    assert!(all.wait().unwrap().success());
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert_eq!(errors, "");
    // Only clawkeep's own command line has it.
    let mut gateways = home.command(&["history", "--help"]);
    std::os::unix::process::CommandExt::arg0(&mut gateways, "clawdbot");
    let help = home.output_of(gateways).ok();
    assert!(
        ["--follow", "--columns", "--no-pager"]
            .iter()
            .all(|word| !help.contains(word))
    );
    for more in ["--reverse", "--csv", "--chart"] {
        refuses(
            &home,
            &["history", "-f", more],
            64,
            &["cannot be used with"],
        );
    }
}

#[test]
fn a_report_is_one_page_of_its_own() {
    let home = home();
    let said = home.run(&["report", "--to", "page.html"]).ok();
    assert!(
        said.contains("2 credentials") && said.contains("~/page.html"),
        "{said}"
    );
    let page = home.read("page.html");
    for word in [
        "<!DOCTYPE html>",
        "anthropic:claude-cli",
        "openai:default",
        "<svg",
        "clawkeep-head-1",
        "audit verify",
    ] {
        assert!(page.contains(word), "{word}");
    }
    for word in [
        "<script",
        "http:",
        "https:",
        "src=",
        "@import",
        TOKEN_MARK,
        "refresh-of-",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    assert_private(&home.at("page.html"));
    assert_eq!(
        home.run(&["report", "--to", "-"])
            .ok()
            .matches("<html")
            .count(),
        1
    );
    // One may take the place of another, and of nothing else.
    home.run(&["report", "--to", "page.html"]).ok();
    home.write("precious.txt", "precious");
    refuses(
        &home,
        &["report", "--to", "precious.txt"],
        64,
        &["precious.txt is there already"],
    );
    let said = home.run(&["report"]).ok();
    assert!(said.contains("clawkeep-report.html"), "{said}");
    assert!(home.at("clawkeep-report.html").exists());
    let said = home.run(&["report", "--open"]).exits(0).stderr;
    assert!(said.contains("No browser was opened"), "{said}");
    refuses(
        &home,
        &["report", "--to", "-", "--open"],
        64,
        &["--open needs a file"],
    );
    refuses(
        &home,
        &["report", "--to", ".clawdbot/vault.db"],
        64,
        &["is no place for it"],
    );
    refuses(
        &home,
        &["report", "--since", "1h", "--until", "2h", "--to", "x"],
        64,
        &["cover no time"],
    );
    refuses(
        &home,
        &["report", "--to", "nowhere/page.html"],
        64,
        &["no directory"],
    );
}

#[test]
fn an_exported_record_is_a_head_too() {
    let home = home();
    home.run(&["audit", "export", "--to", "record.jsonl"]).ok();
    assert_private(&home.at("record.jsonl"));
    let exported = lines(&home.read("record.jsonl"));
    let (head, events) = exported.split_last().unwrap();
    let mut told = home.events();
    told.reverse();
    assert_eq!(events, told);
    assert_eq!(
        head["head"].as_str().unwrap(),
        home.run(&["audit", "head"]).ok().trim()
    );
    // A part of it has the head of its last event.
    let part = lines(
        &home
            .run(&["audit", "export", "--until", "0s", "--to", "-"])
            .ok(),
    );
    assert_eq!(part.last().unwrap(), head);
    home.run(&["models", "auth", "mark", "openai:default", "--used"])
        .ok();
    let verified = home
        .run(&["audit", "verify", "--head", "record.jsonl", "--json"])
        .json();
    assert_eq!(verified["keptHead"], events.last().unwrap()["seq"]);
    let said = home
        .run(&["audit", "verify", "--head", "record.jsonl"])
        .ok();
    assert!(
        said.contains(&format!("All {} events of the export", events.len())),
        "{said}"
    );
    // What was changed in it since is found, where it was.
    let altered = home
        .read("record.jsonl")
        .replacen("\"pid\":", "\"pid\":1", 3);
    home.write("altered.jsonl", altered);
    refuses(
        &home,
        &["audit", "verify", "--head", "altered.jsonl"],
        65,
        &[
            "altered.jsonl is not what is in the record",
            "event 1 is another",
        ],
    );
    let without = home.read("record.jsonl");
    let without: Vec<&str> = without
        .lines()
        .filter(|line| !line.contains("\"seq\":4,"))
        .collect();
    let without = without.join("\n");
    home.write("without.jsonl", &without);
    refuses(
        &home,
        &["audit", "verify", "--head", "without.jsonl"],
        65,
        &["event 4 is missing there"],
    );
    let last = events.last().unwrap()["seq"].as_i64().unwrap();
    let cut = home
        .read("record.jsonl")
        .lines()
        .filter(|line| !line.contains(&format!("\"seq\":{last},")))
        .collect::<Vec<_>>()
        .join("\n");
    home.write("cut.jsonl", cut);
    refuses(
        &home,
        &["audit", "verify", "--head", "cut.jsonl"],
        65,
        &[&format!("its last event is before {last}")],
    );
    // An export is never replaced: it may be all that is left of what was pruned.
    refuses(
        &home,
        &["audit", "export", "--to", "record.jsonl"],
        64,
        &["record.jsonl is there already"],
    );
    // What was pruned since cannot be compared, and is not said to be proved.
    home.run(&["audit", "prune", "--before", "now"]).ok();
    let said = home
        .run(&["audit", "verify", "--head", "record.jsonl"])
        .exits(1);
    assert!(
        said.stderr.contains("cannot verify against the head")
            && said.stderr.contains("has been pruned"),
        "{}",
        said.stderr
    );
    let answer: Value = serde_json::from_str(
        &home
            .run(&["audit", "verify", "--head", "record.jsonl", "--json"])
            .exits(1)
            .stdout,
    )
    .unwrap();
    assert_eq!(
        (&answer["ok"], &answer["head"]),
        (&json!(true), &json!("pruned"))
    );
    let text = home
        .read("record.jsonl")
        .replace("clawkeep-head-1", "clawkeep-head-2");
    home.write("bad.jsonl", text);
    refuses(
        &home,
        &["audit", "verify", "--head", "bad.jsonl"],
        65,
        &["is not a head"],
    );
}

#[test]
fn pruning_says_what_it_did() {
    let home = home();
    refuses(
        &home,
        &["audit", "prune"],
        64,
        &["--before", "clawkeep.retention"],
    );
    assert!(
        home.run(&["audit", "prune", "--before", "1d"])
            .ok()
            .contains("Nothing to remove")
    );
    refuses(
        &home,
        &["audit", "prune", "--before", "2100-01-01"],
        64,
        &["is in the future"],
    );
    let count = home.events().len() as u64;
    let pruned = home
        .run(&["audit", "prune", "--before", "0s", "--json"])
        .json();
    assert_eq!(pruned["kept"], 2, "a change each of two profiles");
    assert_eq!(pruned["removed"], count - 2);
    let said = home.run(&["audit", "verify"]).ok();
    assert!(
        said.contains("The record holds: 3 events")
            && said.contains(&format!("{} were pruned", count - 2)),
        "{said}"
    );
    let kinds: Vec<String> = home.kinds();
    assert_eq!(kinds[0], "audit.pruned");
    // Everything goes on.
    home.claude_login("sk-test-claude-3", 300);
    let run = home.run(&["models", "status"]).exits(0);
    assert!(!run.stderr.contains("Warning"), "{}", run.stderr);
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some("sk-test-claude-3")
    );
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn what_is_older_than_the_retention_goes_with_a_sync() {
    let home = home();
    // A clock that stood a hundred days back when most of it happened: as good as a hundred days of
    // waiting.
    let old = Home::new();
    old.write(CLAUDE, home.read(CLAUDE));
    let run = |when: &str, args: &[&str]| {
        let mut command = old.command(args);
        command.env("LD_PRELOAD", faketime()).env("FAKETIME", when);
        Run::from(command.output().unwrap()).exits(0)
    };
    run("-100d", &["models", "status"]);
    run(
        "-100d",
        &[
            "models",
            "auth",
            "order",
            "set",
            "--provider",
            "anthropic",
            "anthropic:claude-cli",
        ],
    );
    let count = old.events().len();
    old.write(".clawdbot/clawkeep.toml", "clawkeep.retention = \"80d\"\n");
    let is_pruned = |when: &str| {
        run(when, &["sync"])
            .stderr
            .contains("as clawkeep.retention asks")
    };
    assert!(!is_pruned("-99d"), "nothing is old enough");
    // A clock that is years ahead for an hour costs nothing, though it is recorded.
    run(
        "+3650d",
        &["models", "auth", "mark", "anthropic:claude-cli", "--used"],
    );
    assert!(!is_pruned("+3650d"));
    // Nor is anything old before the record has gone on for a week after it.
    run(
        "-12d",
        &["models", "auth", "mark", "anthropic:claude-cli", "--used"],
    );
    assert!(!is_pruned("-12d"));
    run(
        "-1d",
        &["models", "auth", "mark", "anthropic:claude-cli", "--used"],
    );
    assert!(is_pruned("-1d"));
    assert!(old.events().len() < count + 10);
    assert!(!is_pruned("-1d"), "once a day");
    let told = old.run(&["history", "--limit", "0"]).exits(0);
    assert!(told.stderr.contains("was pruned"), "{}", told.stderr);
    assert!(
        old.run(&["audit", "prune"])
            .ok()
            .contains("Nothing to remove")
    );
    old.assert_sound();
    // Settings that mean nothing are said, and keep nothing else from being done.
    old.write(".clawdbot/clawkeep.toml", "clawkeep.retentoin = \"90d\"\n");
    let run = old.run(&["sync"]).exits(65);
    assert!(
        run.stderr.contains("clawkeep.toml") && run.stderr.contains("retentoin"),
        "{}",
        run.stderr
    );
    refuses(&old, &["audit", "prune"], 65, &["line 1", "unknown field"]);
}

pub(crate) fn faketime() -> String {
    let found = Command::new("find")
        .args(["/usr/lib", "-name", "libfaketime.so.1"])
        .output()
        .unwrap();
    let text = String::from_utf8(found.stdout).unwrap();
    text.lines()
        .next()
        .expect("the package faketime is installed")
        .to_owned()
}

#[cfg(unix)]
#[test]
fn heads_go_to_the_system_log_when_asked() {
    let home = home();
    let log = UnixDatagram::bind(home.at("log")).unwrap();
    log.set_nonblocking(true).unwrap();
    let socket = home.at("log");
    home.write(
        ".clawdbot/clawkeep.toml",
        format!("[clawkeep]\nheads = \"syslog:{}\"\n", socket.display()),
    );
    home.run(&["history"]).ok(); // writes nothing, sends nothing
    let mut buffer = [0; 1024];
    assert!(log.recv(&mut buffer).is_err());
    home.run(&["models", "auth", "mark", "openai:default", "--used"])
        .ok();
    let length = log.recv(&mut buffer).unwrap();
    let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let head = home.run(&["audit", "head"]).ok();
    assert!(
        line.starts_with("<85>clawkeep[") && line.ends_with(head.trim()),
        "{line}"
    );
    // Nobody listens: the command is done all the same, and says so.
    drop(log);
    let run = home
        .run(&["models", "auth", "mark", "openai:default", "--used"])
        .exits(0);
    assert!(
        run.stderr.contains("was not sent to the system log"),
        "{}",
        run.stderr
    );
}

/// Everything in the vault but the times: what must be as it was after a command that failed.
fn recorded(home: &Home) -> Vec<i64> {
    seqs(&home.events())
}

/// The disk is full at every point of a command: the limit on the size of files stands for it. If
/// the event cannot be written, no secret is printed and nothing is changed.
#[cfg(unix)] // a limit on the size of files
#[test]
fn no_secret_leaves_unless_its_event_is_written() {
    let home = home();
    let (mut refused, mut done) = (0, 0);
    for blocks in (0..160).step_by(4) {
        let before = recorded(&home);
        let run = home.run_on_small_disk(blocks, "export --to - --reveal");
        let after = recorded(&home);
        if run.status == 0 {
            done += 1;
            assert!(run.stdout.contains("sk-test-openai"), "{blocks}: {run:?}");
            assert_eq!(
                after.len(),
                before.len() + 1,
                "{blocks}: a secret left and no event says so"
            );
        } else {
            refused += 1;
            assert_eq!(run.stdout, "", "{blocks}: {run:?}");
            assert!(!run.stderr.contains(TOKEN_MARK), "{blocks}: {run:?}");
            assert_eq!(after, before, "{blocks}: {run:?}");
        }
    }
    assert!(refused > 3 && done > 3, "{refused} refused, {done} done");
    home.assert_sound();
    // And changes: done with their events, or not at all.
    let (mut refused, mut done) = (0, 0);
    for (turn, blocks) in (0..160).step_by(4).enumerate() {
        let (before, store) = (recorded(&home), home.read(STORE));
        let id = [
            "anthropic:claude-cli",
            "anthropic:claude-cli openai:default",
        ][turn % 2];
        let provider = ["anthropic", "openai"][turn % 2];
        let id = id.split(' ').next_back().unwrap();
        let args = format!("models auth order set --provider {provider} {id}");
        let run = home.run_on_small_disk(blocks, &args);
        if run.status == 0 {
            done += 1;
            home.run(&["models", "auth", "order", "clear", "--provider", provider])
                .ok();
        } else {
            refused += 1;
            let order = home
                .run(&["history", "--kind", "order.set", "--json", "--limit", "1"])
                .json();
            let newest = order["events"][0]["seq"].as_i64().unwrap();
            if recorded(&home) == before {
                assert_eq!(home.read(STORE), store, "{blocks}: {run:?}");
            } else {
                // The vault has it, and its event; the store is behind and is written by the next
                // command.
                assert!(newest > before[0], "{blocks}: {run:?}");
                home.run(&["models", "status"]).ok();
            }
        }
        home.assert_sound();
    }
    assert!(refused > 3 && done > 3, "{refused} refused, {done} done");
}

#[test]
fn a_record_that_was_altered_is_reported_in_json_too() {
    let home = home();
    crate::support::damage::alter_past_triggers(&home, |conn| {
        conn.execute("UPDATE events SET pid = pid + 1 WHERE seq = 4", [])
            .unwrap()
    });
    let mut command = home.command(&["audit", "verify", "--json"]);
    let run = Run::from(command.output().unwrap()).exits(65);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&answer["ok"], &answer["kind"], &answer["seq"]),
        (&json!(false), &json!("altered"), &json!(4))
    );
    command = home.command(&["audit", "prune", "--before", "0s"]);
    refused(home.path(), command, 65, &["does not hold", "event 4"]);
}

/// A login that ends within a day, and then ends, as a person sees it.
#[test]
fn an_expiry_ahead_is_reported() {
    let home = Home::with_claude("sk-test-short", 3);
    home.run(&["models", "status"]).ok();
    let ends = home
        .newest("expiry.expiring")
        .expect("its last day has begun");
    assert_eq!(ends["origin"], "clock");
    let since = ends["detail"]["since"].as_i64().unwrap();
    assert!(
        (since - (now_ms() + 3 * HOUR - 24 * HOUR)).abs() < HOUR,
        "{ends}"
    );
    assert_eq!(
        ends["token"]["after"],
        home.newest("sync.applied").unwrap()["token"]["after"]
    );
    let table = home.run(&["history", "--kind", "expiry"]).ok();
    assert!(
        table.contains("expiry.expiring") && table.contains("since 20"),
        "{table}"
    );
}

#[test]
fn a_name_that_nobody_knows_is_reported() {
    let home = home();
    for (args, words) in [
        (
            &["history", "--profile", "openai:defualt"][..],
            "has no profile openai:defualt; did you mean openai:default?",
        ),
        (
            &["history", "--provider", "antropic"],
            "did you mean anthropic?",
        ),
        (
            &["history", "uses", "--agent", "mian"],
            "did you mean main?",
        ),
        (
            &["history", "at", "now", "--provider", "zzz"],
            "has no provider zzz.",
        ),
        (
            &["history", "--chart", "--profile", "nobody"],
            "has no profile nobody.",
        ),
    ] {
        let run = home.run(args).exits(0);
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
    let known = home
        .run(&["history", "--profile", "openai:default", "--kind", "key"])
        .exits(0);
    let said: Vec<&str> = known.stderr.lines().collect();
    assert_eq!(
        said,
        [
            "Unverified; see: clawkeep audit verify",
            "No event matches."
        ]
    );
}

/// What a gateway learnt is in its statistics, and comes into the record with the reason.
#[test]
fn the_reason_a_gateways_credential_failed_is_reported() {
    let home = home();
    let mut store = home.json(STORE);
    let failed_at = now_ms();
    store["usageStats"]["openai:default"] = json!({"lastUsed": failed_at - HOUR, "errorCount": 2,
        "lastFailureAt": failed_at,
        "failureCounts": {"rate_limit": 2}, "cooldownUntil": now_ms() + HOUR});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    let failed = home.newest("credential.failed").unwrap();
    assert_eq!(
        (&failed["outcome"], &failed["origin"]),
        (&json!("failed"), &json!("auth-profiles.json"))
    );
    assert_eq!(
        (
            &failed["detail"]["reason"],
            &failed["detail"]["lastFailureAt"]
        ),
        (&json!("rate_limit"), &json!(failed_at))
    );
    let uses = home.run(&["history", "uses", "--json"]).json();
    assert_eq!(uses["uses"][0]["lastFailureReason"], "rate_limit");
    let gateway = uses["uses"][0]["by"]
        .as_array()
        .unwrap()
        .iter()
        .find(|by| by["origin"] == "auth-profiles.json");
    assert!(
        gateway.is_none_or(|by| by.get("program").is_none()),
        "who looked is not who used it: {uses}"
    );
    let table = home.run(&["history", "uses"]).ok();
    assert!(table.contains("(rate_limit, "), "{table}");
    assert_eq!(
        home.run(&["history", "at", "now", "--json"]).json()["credentials"][1]["state"],
        "resting"
    );
    assert!(
        home.run(&["report", "--to", "-"])
            .ok()
            .contains("rate_limit")
    );
}
