//! Many processes at once on one vault: nobody fails, nothing is lost, vault and file agree.
//!
//! `CLAWKEEP_ROUNDS` says how many rounds of eight, `CLAWKEEP_SEED` repeats a run.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::home::{Home, Run, STORE, start_with_input};
use crate::support::random::{Random, number, seed};

const PROFILES: [&str; 4] = [
    "anthropic:a",
    "anthropic:b",
    "anthropic:c",
    "anthropic:claude-cli",
];
const AT_ONCE: usize = 8;

fn start(home: &Home, args: &[&str]) -> Child {
    home.command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for all of them; none may have failed or complained.
fn all_succeed(children: Vec<(Vec<&str>, Child)>, at: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    for (args, child) in children {
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.status, 0, "{at}: {args:?}: {run:?}");
        assert!(!run.stderr.contains("Error"), "{at}: {args:?}: {run:?}");
        runs.push(run);
    }
    runs
}

fn random_command(random: &mut Random) -> Vec<&'static str> {
    let order =
        |what: &'static str| vec!["models", "auth", "order", what, "--provider", "anthropic"];
    match random.below(4) {
        0 => vec!["models", "status", "--json"],
        1 => {
            let mut args = order("set");
            args.extend([*random.pick(&PROFILES), *random.pick(&PROFILES)]);
            args
        }
        2 => order("clear"),
        _ => vec!["sync"],
    }
}

#[test]
fn eight_at_once_all_succeed_and_vault_and_file_agree() {
    let home = Home::with_claude("sk-ant-oat01-together-000000", 100);
    let key =
        |id: &str| json!({"type": "api_key", "provider": "anthropic", "key": format!("sk-{id}")});
    let profiles = json!({
        PROFILES[0]: key("a"), PROFILES[1]: key("b"), PROFILES[2]: key("c"),
    });
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    home.run(&["sync"]).ok();
    let mut random = Random::seeded(seed());
    for round in 0..number("CLAWKEEP_ROUNDS", 30) {
        let at = format!("round {round} of seed {}", seed());
        let token = format!("sk-ant-oat01-together-{:06}", round + 1);
        home.claude_login(&token, 101 + i64::try_from(round).unwrap());
        let mut children = Vec::new();
        for _ in 0..AT_ONCE {
            let args = random_command(&mut random);
            let child = start(&home, &args);
            children.push((args, child));
        }
        all_succeed(children, &at);
        // All of them load, and whoever loads last has seen the login.
        assert_eq!(home.exported_token(PROFILES[3]), Some(token), "{at}");
        assert_in_step(&home, &at);
    }
    home.assert_sound();
    let file = home.json(STORE);
    assert_eq!(home.vaults_store(), file);
    for (id, entry) in profiles.as_object().unwrap() {
        assert_eq!(&file["profiles"][id], entry);
    }
}

/// The order in force is the one that the record's newest event says, in the file and in the
/// vault's answer.
fn assert_in_step(home: &Home, at: &str) {
    let file = home.json(STORE)["order"]["anthropic"].clone();
    let get = [
        "models",
        "auth",
        "order",
        "get",
        "--provider",
        "anthropic",
        "--json",
    ];
    assert_eq!(home.run(&get).json()["order"], file, "{at}");
    let newest = home
        .events()
        .into_iter()
        .find(|event| event["kind"].as_str().unwrap().starts_with("order."));
    let recorded = newest.map_or(Value::Null, |event| event["detail"]["order"].clone());
    assert_eq!(recorded, file, "{at}");
}

#[test]
fn eight_first_commands_at_once_make_one_vault() {
    for n in 0..number("CLAWKEEP_HOMES", 20) {
        let token = format!("sk-ant-oat01-first-{n:06}");
        let home = Home::with_claude(&token, 100);
        let get: &[&str] = &["models", "auth", "order", "get", "--provider", "anthropic"];
        let commands = [&["sync"], &["models", "status", "--json"][..], get];
        let children = (0..AT_ONCE).map(|which| {
            let args = commands[which % commands.len()];
            (args.to_vec(), start(&home, args))
        });
        let runs = all_succeed(children.collect(), &format!("home {n}"));
        let made = runs
            .iter()
            .filter(|run| run.stderr.contains("created the vault"))
            .count();
        assert_eq!(made, 1, "home {n}: {runs:?}");
        let kinds = home.kinds();
        for once in ["vault.created", "sync.applied", "export.written"] {
            let count = kinds.iter().filter(|kind| *kind == once).count();
            assert_eq!(count, 1, "home {n}: {once} in {kinds:?}");
        }
        assert_eq!(home.exported_token(PROFILES[3]), Some(token), "home {n}");
        let keys = std::fs::read_dir(home.at(".config/clawkeep")).unwrap();
        assert_eq!(keys.count(), 1, "home {n}: one key");
        home.assert_sound();
    }
}

/// One vault, and an agent that is reached by two state directories, so that no lock of a store
/// holds the two off: whoever commits later must have seen the other's change, or a file lacks it
/// and reads as if it had been deleted there.
#[test]
fn an_agent_that_two_paths_lead_to_keeps_what_comes_by_either() {
    let home = Home::new();
    let command = |side: &str, args: &[&str]| {
        let mut command = home.command(args);
        command
            .env("CLAWDBOT_STATE_DIR", home.at(side))
            .env("CLAWKEEP_VAULT", home.at("vault/vault.db"));
        command
    };
    let run = |side: &str, args: &[&str]| Run::from(command(side, args).output().unwrap());
    std::fs::create_dir(home.at("vault")).unwrap();
    run("one", &["init"]).ok();
    let mut ids = Vec::new();
    for round in 0..20 {
        let children: Vec<_> = ["one", "two"]
            .into_iter()
            .map(|side| {
                let id = format!("p:{side}-{round}");
                let args = [
                    "models",
                    "auth",
                    "paste-api-key",
                    "--provider",
                    "p",
                    "--profile-id",
                    &id,
                ];
                let child = start_with_input(command(side, &args), "sk-test-0123456789");
                ids.push(id);
                child
            })
            .collect();
        for child in children {
            Run::from(child.wait_with_output().unwrap()).ok();
        }
        for side in ["one", "two"] {
            run(side, &["sync"]).ok();
            // Something that the gateway writes makes the next load merge.
            let file = format!("{side}/agents/main/agent/auth-profiles.json");
            let mut store = home.json(&file);
            store["usageStats"] = json!({"p:one-0": {"lastUsed": round + 1}});
            home.write(&file, store.to_string());
            run(side, &["sync"]).ok();
        }
        for side in ["one", "two"] {
            run(side, &["sync"]).ok();
            let store = home.json(&format!("{side}/agents/main/agent/auth-profiles.json"));
            for id in &ids {
                assert!(
                    store["profiles"][id].is_object(),
                    "round {round}: {side} lacks {id}"
                );
            }
        }
    }
    run("one", &["audit", "verify"]).ok();
}
