//! `--json` on every command that answers something: one document, or one error.

use serde_json::{Value, json};

use crate::support::home::{Home, STORE};

/// Commands without an answer of their own: they run a program, or print another format.
const WITHOUT: [&str; 9] = [
    "run",
    "exec",
    "env",
    "secretref",
    "watch",
    "completions",
    "man",
    "metrics",
    "models auth setup-token",
];

/// Each command, in an order in which it has something to answer, with its exit status. `COPY` is a
/// backup's file.
const RUNS: [(&str, &str, i32); 62] = [
    ("init", "--key keyfile", 0),
    ("sync", "", 0),
    ("version", "", 0),
    ("status", "", 0),
    ("ls", "", 0),
    ("add", "groq", 0),
    ("login", "groq", 1),
    ("use", "openai:b", 0),
    ("token", "openai", 0),
    ("refresh", "openai", 1),
    ("discover", "", 0),
    ("connect", "", 0),
    ("disconnect", "codex", 0),
    ("models status", "", 0),
    ("models auth list", "", 0),
    ("models auth add", "", 1),
    ("models auth login", "--provider groq", 1),
    ("models auth paste-token", "--provider anthropic", 0),
    ("models auth paste-api-key", "--provider xai", 0),
    ("models auth trust", "openai:b", 1),
    ("models auth keep", "openai:b", 64),
    ("models auth adopt", "openai:b", 64),
    ("models auth remove", "xai:manual --yes", 0),
    ("models auth restore", "xai:manual", 0),
    ("models auth restore", "xai:manual --list", 0),
    ("restore", "xai:manual --list", 0),
    ("models auth mark", "openai:b --used", 0),
    ("models auth candidates", "--provider openai", 0),
    ("models auth order get", "--provider openai", 0),
    ("models auth order set", "--provider openai openai:a", 0),
    ("models auth order clear", "--provider openai", 0),
    ("rm", "xai:manual --yes", 0),
    ("session pin", "s openai:b", 0),
    ("session list", "", 0),
    ("session unpin", "s", 0),
    ("doctor", "", 0),
    ("config set", "retention 400d", 0),
    ("config get", "retention", 0),
    ("config unset", "retention", 0),
    ("config list", "", 0),
    ("config path", "", 0),
    ("config edit", "", 64),
    ("key status", "", 0),
    ("key recovery", "", 0),
    ("key add", "keyfile", 1),
    ("key rotate", "", 0),
    ("key rotate", "--compromised", 64),
    ("key remove", "2 --yes", 0),
    ("backup create", "COPY", 0),
    ("backup verify", "COPY", 0),
    ("backup restore", "COPY", 0),
    ("history", "", 0),
    ("history uses", "", 0),
    ("history refreshes", "", 0),
    ("history at", "1h", 0),
    ("audit head", "", 0),
    ("audit verify", "", 0),
    ("audit export", "--to RECORD", 0),
    ("audit prune", "--before 400d --yes", 0),
    ("report", "--to REPORT", 0),
    ("export", "", 0),
    ("import", "STORE", 0),
];

/// The commands that call themselves by a service manager: what they would do.
const MONITOR: [(&str, &str, i32); 4] = [
    ("monitor install", "--by systemd --dry-run", 0),
    ("monitor install", "--by cron", 0),
    ("monitor status", "", 1),
    ("monitor uninstall", "", 0),
];

#[test]
fn every_command_with_an_answer_answers_in_json() {
    let home = Home::new();
    let key = |secret: &str| json!({"type": "api_key", "provider": "openai", "key": secret});
    let store = json!({"version": 1, "profiles": {
        "openai:a": key("sk-test-a"), "openai:b": key("sk-test-b"),
    }});
    home.write(STORE, store.to_string());
    for (command, arguments, status) in RUNS.into_iter().chain(MONITOR) {
        let path = |name: &str| home.at(name).display().to_string();
        let words = command.split(' ').chain(arguments.split_whitespace());
        let words = words.map(|word| match word {
            "COPY" | "RECORD" | "REPORT" => path(word),
            "STORE" => path(STORE),
            word => word.to_owned(),
        });
        let words: Vec<String> = words.chain(["--json".to_owned()]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = home.run_with_input(&words, "sk-test-given");
        assert_eq!(run.status, status, "{words:?}: {run:?}");
        if status == 0 || !run.stdout.is_empty() {
            let answer = serde_json::from_str::<Value>(&run.stdout);
            assert!(answer.is_ok_and(|it| it.is_object()), "{words:?}: {run:?}");
            continue;
        }
        let last = run.stderr.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_default();
        assert!(error["error"]["code"].is_string(), "{words:?}: {run:?}");
    }
    // The reference page of commands has them all.
    let known = |path: &&str| {
        let has = |(command, ..): &(&str, &str, i32)| command == path;
        RUNS.iter().chain(&MONITOR).any(|run| has(run)) || WITHOUT.contains(path)
    };
    let page = include_str!("../../docs/commands.md");
    let paths: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## clawkeep "))
        .map(|path| path.trim())
        .collect();
    let is_group = |path: &&str| {
        paths
            .iter()
            .any(|other| other.starts_with(&format!("{path} ")))
    };
    let paths = paths.iter().filter(|path| !path.starts_with("log"));
    let leaves = paths.filter(|path| !is_group(path) || ["history"].contains(path));
    let missing: Vec<&&str> = leaves.filter(|path| !known(path)).collect();
    assert!(missing.is_empty(), "not tried with --json: {missing:?}");
}

#[test]
fn what_is_printed_as_json_is_what_was_done() {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    let code = home.run(&["key", "recovery", "--json"]).json();
    assert_eq!(
        (&code["slot"], &code["kind"]),
        (&json!(2), &json!("recovery"))
    );
    let code = code["code"].as_str().unwrap().to_owned();
    home.write("code", &code);
    let status = [
        "doctor",
        "--passphrase-file",
        &home.at("code").display().to_string(),
    ];
    std::fs::remove_dir_all(home.at(".config/clawkeep")).unwrap();
    home.run(&status).exits(0);
    // A head is read as it is printed.
    for option in [&["audit", "head"][..], &["audit", "head", "--json"]] {
        home.write("head", home.run(option).ok());
        let head = home.at("head").display().to_string();
        let verify = [
            "audit",
            "verify",
            "--head",
            &head,
            "--json",
            "--passphrase-file",
        ];
        let verify = [&verify[..], &[status[2]]].concat();
        let verified = home.run(&verify).json();
        assert_eq!(verified["head"], "holds", "{verified}");
    }
    let removed = home.run(&[
        "key",
        "remove",
        "1",
        "--yes",
        "-j",
        "--passphrase-file",
        status[2],
    ]);
    let removed = removed.json();
    assert_eq!(
        (&removed["removed"], &removed["kind"]),
        (&json!(1), &json!("keyfile"))
    );
    let planned = home
        .run(&["monitor", "install", "--by", "systemd", "--dry-run", "-j"])
        .json();
    let text = planned["files"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("[Service]") || text.contains("[Unit]"),
        "{planned:#}"
    );
    assert_eq!(planned["by"], "systemd");
}
