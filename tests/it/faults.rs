//! Any system call of a command fails, once or from then on: the old state is there or the new one,
//! whole; nothing is lost; the exit status is one of the table, and says what happened.
//!
//! Which calls, and with which errors: `support::faults`. For another command, write a [`Case`] and
//! a test that calls [`faults_of`]. `CLAWKEEP_FAULTS` says how many faults of each command are
//! tried, chosen by `CLAWKEEP_SEED`. `all` are every error, once and for good, at every call, but
//! of equal calls one after another (the same call on the same file: the pages of one transaction)
//! the first two, the last two and two in between. Each test says how many stand for how many.
//! `each` leaves nothing to stand for others.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::refresh::{ID, expire, exported, grant_state};
use crate::support::faults::{Class, Fault, KINDS, Kept, Seen, run_with};
use crate::support::home::{CLAUDE, Home, Run, STORE, VAULT};
use crate::support::provider::Provider;
use crate::support::random::{Random, number, seed};

/// Faults of each command where nothing is asked for.
const FAULTS: u64 = 120;
/// Homes of each command that are worked in at once.
const WORKERS: usize = 2;
const PROFILE: &str = "anthropic:claude-cli";
const KEY: &str = "openai:key";
const OLD: &str = "sk-test-claude-old";
const NEW: &str = "sk-test-claude-new";
const KEYS: [&str; 3] = ["openai:a", "openai:b", "openai:key"];

/// A command, and what must hold after it was run while something failed.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    prepare: fn() -> Scene,
    /// Nothing fails any more.
    judge: fn(&Scene, &After<'_>),
}

/// Where a command is run.
struct Scene {
    home: Home,
    provider: Option<Provider>,
    /// The refresh token that is good at first.
    refresh: String,
}

impl Scene {
    fn of(home: Home) -> Self {
        Self {
            home,
            provider: None,
            refresh: String::new(),
        }
    }

    fn begin_again(&self, kept: &Kept) {
        kept.bring_back(&self.home);
        if let Some(provider) = &self.provider {
            provider.begin_again(&self.refresh, "a");
        }
    }
}

/// How a run ended in which something failed.
struct After<'r> {
    run: &'r Run,
    fault: &'r Fault,
    is_hit: bool,
    /// The file of the first call that failed.
    place: &'r str,
}

/// What came of all of them.
#[derive(Default)]
struct Outcome {
    runs: u64,
    hits: u64,
    statuses: BTreeMap<i32, u64>,
    findings: Vec<String>,
}

fn faults_of(case: &Case) {
    let faults = Mutex::new(chosen(case).into_iter());
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let scene = (case.prepare)();
                let kept = Kept::of(&scene.home);
                loop {
                    let next = faults.lock().unwrap().next();
                    let Some(fault) = next else { return };
                    try_one(case, &scene, &kept, &fault, &outcome);
                }
            });
        }
    });
    report(case, &outcome.into_inner().unwrap());
}

/// The faults to be tried.
#[allow(
    clippy::print_stderr,
    reason = "the numbers of a long run are its result"
)]
fn chosen(case: &Case) -> Vec<Fault> {
    let scene = (case.prepare)();
    let kept = Kept::of(&scene.home);
    let mut all: Vec<Vec<Fault>> = Vec::new();
    let wanted = std::env::var("CLAWKEEP_FAULTS").unwrap_or_default();
    let mut random = Random::seeded(seed());
    let mut calls = 0;
    for kind in KINDS {
        let none = Fault {
            kind,
            nth: 0,
            stays: false,
        };
        scene.begin_again(&kept);
        let (run, seen) = run_with(scene.home.command(case.args), &none);
        assert_eq!(run.status, 0, "{}: {run:?}", case.name);
        calls += 2 * seen.sites.len();
        for stays in [false, true] {
            let tried = match wanted.as_str() {
                "all" => representatives(&seen.sites, &mut random),
                _ => (1..=seen.matched).collect(),
            };
            let of_kind = tried.into_iter().map(|nth| Fault { kind, nth, stays });
            all.push(of_kind.collect());
        }
    }
    all.retain(|of_kind| !of_kind.is_empty());
    if ["all", "each"].contains(&wanted.as_str()) {
        let chosen = all.concat();
        let (name, tried) = (case.name, chosen.len());
        eprintln!("{name}: {tried} faults stand for {calls} (seed {})", seed());
        return chosen;
    }
    // Each kind as often, however many calls there are of it; waiting for a lock for good takes its
    // time.
    all.retain(|of_kind| !(of_kind[0].stays && of_kind[0].kind.name == "file lock EAGAIN"));
    (0..number("CLAWKEEP_FAULTS", FAULTS))
        .map(|_| {
            let of_kind = random.pick(&all);
            *random.pick(of_kind)
        })
        .collect()
}

/// Of equal calls one after another, how many are tried at either end, and in between.
const AT_AN_END: usize = 2;

/// The numbers of the calls that stand for all: of each run of equal ones the first, the last and
/// some in between.
fn representatives(sites: &[u32], random: &mut Random) -> Vec<u32> {
    let mut chosen = Vec::new();
    let mut first = 1;
    for run in sites.chunk_by(|one, next| one == next) {
        let numbers: Vec<u32> = (first..).take(run.len()).collect();
        first += u32::try_from(run.len()).unwrap();
        let Some(between) = run.len().checked_sub(2 * AT_AN_END).filter(|n| *n > 2) else {
            chosen.extend(numbers);
            continue;
        };
        let between = &numbers[AT_AN_END..AT_AN_END + between];
        chosen.extend(&numbers[..AT_AN_END]);
        chosen.extend([*random.pick(between), *random.pick(between)]);
        chosen.extend(&numbers[numbers.len() - AT_AN_END..]);
    }
    chosen.dedup();
    chosen
}

#[test]
fn of_equal_calls_one_after_another_some_stand_for_all() {
    let mut random = Random::seeded(1);
    let sites = [[1; 3].as_slice(), &[2; 40], &[1; 6], &[3]].concat();
    let chosen = representatives(&sites, &mut random);
    assert_eq!(chosen[..5], [1, 2, 3, 4, 5]);
    assert!(
        chosen[5..chosen.len() - 9]
            .iter()
            .all(|nth| (6..=41).contains(nth))
    );
    assert_eq!(
        chosen[chosen.len() - 9..],
        [42, 43, 44, 45, 46, 47, 48, 49, 50]
    );
}

fn try_one(case: &Case, scene: &Scene, kept: &Kept, fault: &Fault, outcome: &Mutex<Outcome>) {
    scene.begin_again(kept);
    let (run, seen) = run_with(scene.home.command(case.args), fault);
    let after = After {
        run: &run,
        fault,
        is_hit: seen.hit > 0,
        place: &seen.place,
    };
    let judged = catch_unwind(AssertUnwindSafe(|| {
        assert_well_ended(&after);
        (case.judge)(scene, &after);
    }));
    let mut outcome = outcome.lock().unwrap();
    outcome.runs += 1;
    outcome.hits += u64::from(seen.hit > 0);
    *outcome.statuses.entry(run.status).or_default() += 1;
    if let Err(panic) = judged {
        let why = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        outcome
            .findings
            .push(told(fault, &seen, &run, &why.unwrap_or_default()));
    }
}

fn told(fault: &Fault, seen: &Seen, run: &Run, why: &str) -> String {
    format!("{fault}, on {}: {run:?}\n  {why}", seen.place)
}

#[allow(
    clippy::print_stderr,
    reason = "the numbers of a long run are its result"
)]
fn report(case: &Case, outcome: &Outcome) {
    let Outcome {
        runs,
        hits,
        statuses,
        findings,
    } = outcome;
    eprintln!(
        "{}: {runs} runs, {hits} in which a call failed, ended with {statuses:?}",
        case.name
    );
    assert!(
        hits * 10 >= runs * 9,
        "{}: only {hits} of {runs} faults happened",
        case.name
    );
    assert!(
        findings.is_empty(),
        "{}, seed {}: {} findings\n{}",
        case.name,
        seed(),
        findings.len(),
        findings.join("\n")
    );
}

/// What holds of every command: the exit status is one of the table, an error is told in three
/// lines, and no secret in them.
fn assert_well_ended(after: &After<'_>) {
    let run = after.run;
    assert!(
        [0, 1, 65, 75, 77].contains(&run.status),
        "status {}",
        run.status
    );
    assert!(!run.stderr.contains("panicked"), "a panic is no answer");
    assert!(!run.stderr.contains("sk-test-"), "a secret in a message");
    let is_note = |line: &&str| line.starts_with("Note:") || line.starts_with("Warning:");
    let lines = run.stderr.lines().filter(|line| !is_note(line)).count();
    assert!(lines <= 3, "{lines} lines");
    if run.status != 0 {
        assert!(lines > 0, "nothing said");
    }
    if !after.is_hit {
        assert_eq!(run.status, 0, "nothing failed");
    }
    // Somebody else has the lock, as far as can be told; of a draft there is nobody else.
    if after.fault.kind.is_busy() && !after.place.ends_with(".new") {
        assert!([0, 75].contains(&run.status), "not busy");
    }
}

fn ok(home: &Home, args: &[&str]) -> String {
    let run = home.run(args);
    assert_eq!(run.status, 0, "afterwards: {args:?}: {run:?}");
    run.stdout
}

/// The vault, if there is one, is whole, and so is the store.
fn assert_whole(home: &Home) {
    if home.at(VAULT).exists() {
        ok(home, &["audit", "verify"]);
    }
    if home.at(STORE).exists() {
        let store: Result<Value, _> = serde_json::from_str(&home.read(STORE));
        let store = store.unwrap_or_else(|error| panic!("the store: {error}"));
        assert!(store["profiles"].is_object(), "the store: {store}");
    }
}

/// Nothing is left over, and no token is where none belongs.
fn assert_clean(home: &Home) {
    for file in home.files() {
        let is_left =
            file.contains("-tmp") || file.contains("vault.db.new") || file.contains(".corrupt-");
        assert!(!is_left, "{file} was left");
    }
    for file in home.files_with("sk-test-") {
        assert!(file == CLAUDE || file == STORE, "a token in {file}");
    }
}

/// The vault and the store say the same, and that is `wanted`.
fn assert_says(home: &Home, wanted: &Value) {
    assert_eq!(&home.json(STORE), wanted, "the store");
    assert_eq!(&home.vaults_store(), wanted, "the vault");
}

fn api_key(id: &str) -> Value {
    json!({"type": "api_key", "provider": "openai", "key": format!("sk-test-{id}")})
}

// init

fn empty_home() -> Scene {
    Scene::of(Home::with_claude(OLD, 100))
}

fn judge_init(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    let is_made = home.at(VAULT).exists();
    if after.run.status == 0 {
        assert!(
            is_made && after.run.stdout.starts_with("Vault: "),
            "not made"
        );
    }
    assert_whole(home);
    if !is_made && !after.fault.kind.has(Class::Remove) && !after.fault.stays {
        let keys: Vec<String> = home
            .files()
            .into_iter()
            .filter(|file| file.contains(".config/"))
            .collect();
        assert_eq!(keys, [] as [String; 0], "a key of no vault");
    }
    let again = home.run(&["init"]);
    assert_eq!(again.status, i32::from(is_made), "afterwards: {again:?}");
    ok(home, &["sync"]);
    assert_eq!(home.exported_token(PROFILE).as_deref(), Some(OLD));
    assert_eq!(home.count_of("vault.created"), 1);
    // Where nothing can be removed, the draft's journal stays until the next draft.
    if after.fault.stays && after.fault.kind.has(Class::Remove) {
        let _ = std::fs::remove_file(home.at(".clawdbot/vault.db.new-journal"));
    }
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn init_made_or_not_made() {
    faults_of(&Case {
        name: "init",
        args: &["init"],
        prepare: empty_home,
        judge: judge_init,
    });
}

/// The name of a key file is its vault's, and no try has the vault of another: one that is left
/// would stay for good.
#[test]
fn a_key_file_that_may_not_last_is_taken_back() {
    let kind = KINDS.iter().find(|kind| kind.name == "sync EIO").unwrap();
    let scene = empty_home();
    let kept = Kept::of(&scene.home);
    for nth in 1.. {
        scene.begin_again(&kept);
        let fault = Fault {
            kind,
            nth,
            stays: false,
        };
        let (run, seen) = run_with(scene.home.command(&["init"]), &fault);
        assert!(seen.hit > 0, "the directory of the keys is not synced");
        let keys = scene.home.at(".config/clawkeep");
        if seen.place.ends_with(".config/clawkeep") && run.stderr.contains("cannot sync") {
            assert_eq!(run.status, 77, "{run:?}");
            assert_eq!(std::fs::read_dir(keys).unwrap().count(), 0, "{run:?}");
            return;
        }
    }
}

// sync

fn newer_login() -> Scene {
    let home = Home::with_claude(OLD, 100);
    home.write(
        STORE,
        json!({"version": 1, "profiles": {KEY: api_key(KEY)}, "later": [1.50]}).to_string(),
    );
    home.run(&["sync"]).ok();
    home.claude_login(NEW, 200);
    Scene::of(home)
}

fn judge_sync(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    assert_whole(home);
    let file = home.json(STORE);
    assert_eq!(file["profiles"][KEY], api_key(KEY), "the store");
    let taken = home.count_of("sync.applied");
    let committed = [OLD, NEW][taken - 1];
    let in_file = file["profiles"][PROFILE]["token"]
        .as_str()
        .unwrap_or_default();
    assert!(
        in_file == OLD || in_file == committed,
        "in the store: {in_file}"
    );
    // A login that cannot be read is as if it were absent, and that is said.
    if after.run.status == 0 && !after.run.stderr.contains("was not imported") {
        assert_eq!((committed, in_file), (NEW, NEW), "said to be done");
    }
    ok(home, &["--no-sync", "sync"]);
    assert_eq!(
        home.exported_token(PROFILE).as_deref(),
        Some(committed),
        "what is committed"
    );
    ok(home, &["sync"]);
    assert_eq!(home.exported_token(PROFILE).as_deref(), Some(NEW));
    let mut wanted = file;
    wanted["profiles"][PROFILE] = home.json(STORE)["profiles"][PROFILE].clone();
    assert_says(home, &wanted);
    assert_eq!(home.count_of("sync.applied"), 2);
    assert_eq!(home.vaults_store()["profiles"][PROFILE]["token"], NEW);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn sync_takes_a_login_over_or_does_not() {
    faults_of(&Case {
        name: "sync",
        args: &["sync"],
        prepare: newer_login,
        judge: judge_sync,
    });
}

// order set

const ORDER: &[&str] = &[
    "models",
    "auth",
    "order",
    "set",
    "--provider",
    "openai",
    "openai:key",
    "openai:a",
    "openai:b",
];

fn three_keys() -> Scene {
    let home = Home::new();
    let profiles: serde_json::Map<String, Value> = KEYS
        .iter()
        .map(|id| ((*id).to_owned(), api_key(id)))
        .collect();
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles, "order": {"openai": KEYS}}).to_string(),
    );
    home.run(&["sync"]).ok();
    Scene::of(home)
}

fn judge_order(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    assert_whole(home);
    let order = |store: &Value| store["order"]["openai"].clone();
    let (old, new) = (json!(KEYS), json!(ORDER[6..]));
    let in_file = order(&home.json(STORE));
    assert!(in_file == old || in_file == new, "{in_file}");
    let is_set = home.count_of("order.set") == 1;
    if after.run.status == 0 {
        assert!(is_set && in_file == new, "said to be done");
    }
    ok(home, &["--no-sync", "sync"]);
    let now = home.json(STORE);
    assert_eq!(
        &order(&now),
        if is_set { &new } else { &old },
        "what is recorded"
    );
    for id in KEYS {
        assert_eq!(now["profiles"][id], api_key(id));
    }
    ok(home, ORDER);
    let mut wanted = now;
    wanted["order"]["openai"] = new;
    assert_says(home, &wanted);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn order_set_or_not_set() {
    faults_of(&Case {
        name: "order set",
        args: ORDER,
        prepare: three_keys,
        judge: judge_order,
    });
}

// token, with a refresh

const TOKEN: &[&str] = &["token", "--provider", "test"];

fn login_that_is_due() -> Scene {
    let (home, provider) = crate::refresh::home();
    let refresh = exported(&home, STORE)["refresh"]
        .as_str()
        .unwrap()
        .to_owned();
    Scene {
        home,
        provider: Some(provider),
        refresh,
    }
}

/// What was printed is what was recorded, is stored, and is good. Sent twice only where the record
/// says that it was not known whether it is spent; over only where the exit said so.
fn judge_token(scene: &Scene, after: &After<'_>) {
    let (home, provider, run) = (&scene.home, scene.provider.as_ref().unwrap(), after.run);
    assert_whole(home);
    let story = || {
        let unsure = home.count_of("refresh.interrupted");
        assert!(
            provider.repeated() <= unsure,
            "sent {} times more, {unsure} times unsure",
            provider.repeated()
        );
        assert!(
            provider.count() <= home.count_of("refresh.started"),
            "sent and not announced"
        );
    };
    story();
    let uses = home.count_of("credential.used");
    if run.status == 0 {
        assert_eq!(uses, 1, "handed out and not recorded");
    } else if !after.fault.kind.has(Class::Answer) {
        assert_eq!(run.stdout, "", "refused, and printed");
    }
    let is_lost = run.stderr.contains("are lost");
    let again = home.run(TOKEN);
    story();
    let stored = exported(home, STORE);
    if again.status == 0 {
        let access = stored["access"].as_str().unwrap();
        assert_eq!(again.stdout.trim_end(), access, "afterwards");
        if run.status == 0 {
            assert_eq!(run.stdout, again.stdout, "another one before");
        }
        assert!(
            provider.is_live(stored["refresh"].as_str().unwrap()),
            "what is stored is not good: {stored}"
        );
        assert_eq!(
            provider.count(),
            1 + provider.repeated(),
            "sent again without need"
        );
    } else {
        assert!(is_lost, "over, and nobody said so: {again:?}");
        assert_eq!(grant_state(home), "dead");
        // Nothing could be written any more, not even into the room that was made for it.
        let is_without_a_way = after.fault.stays && after.fault.kind.has(Class::Write);
        assert!(is_without_a_way, "the tokens are lost");
    }
    assert!(provider.count() > 0);
    if again.status == 0 && home.files().iter().any(|file| file.ends_with(".rescue")) {
        expire(home, STORE);
        ok(home, TOKEN);
    }
    let left: Vec<String> = home
        .files()
        .into_iter()
        .filter(|file| file.ends_with(".rescue"))
        .collect();
    assert_eq!(left, [] as [String; 0]);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn token_refreshed_and_kept_or_not_sent() {
    assert_eq!(ID, "test:login");
    faults_of(&Case {
        name: "token",
        args: TOKEN,
        prepare: login_that_is_due,
        judge: judge_token,
    });
}

/// The disk says that nothing is durable any more; what was written can be read all the same.
#[test]
fn tokens_that_could_not_be_made_durable_are_taken_in_by_the_next_command() {
    let kind = KINDS.iter().find(|kind| kind.name == "sync EIO").unwrap();
    let scene = login_that_is_due();
    let (home, provider) = (&scene.home, scene.provider.as_ref().unwrap());
    let kept = Kept::of(home);
    for nth in 1.. {
        scene.begin_again(&kept);
        let fault = Fault {
            kind,
            nth,
            stays: true,
        };
        let (run, seen) = run_with(home.command(TOKEN), &fault);
        assert!(seen.hit > 0, "the recovery file is not synced");
        if !(seen.place.ends_with(".rescue") && provider.count() == 1) {
            continue;
        }
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.contains("they are kept in"), "{run:?}");
        let access = ok(home, TOKEN);
        assert_eq!(provider.count(), 1);
        assert_eq!(
            access.trim_end(),
            exported(home, STORE)["access"].as_str().unwrap()
        );
        return;
    }
}

// A stored key, handed out: nothing but the use is recorded.

const STORED: &[&str] = &["token", "--profile", "openai:key"];

fn judge_stored(scene: &Scene, after: &After<'_>) {
    let (home, run) = (&scene.home, after.run);
    assert_whole(home);
    if run.status == 0 {
        assert_eq!(run.stdout, "sk-test-openai:key\n");
        assert_eq!(
            home.count_of("credential.used"),
            1,
            "handed out and not recorded"
        );
    } else if !after.fault.kind.has(Class::Answer) {
        assert_eq!(run.stdout, "", "refused, and printed");
    }
    assert_eq!(ok(home, STORED), "sk-test-openai:key\n");
    assert_clean(home);
}

#[test]
fn a_stored_key_is_handed_out_and_recorded_or_not_handed_out() {
    faults_of(&Case {
        name: "token of a stored key",
        args: STORED,
        prepare: three_keys,
        judge: judge_stored,
    });
}

// key rotate

fn judge_rotate(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    assert_whole(home);
    let wanted = home.json(STORE);
    let done = home.count_of("key.rotated");
    assert!(done <= 1, "rotated {done} times");
    if after.run.status == 0 {
        assert_eq!(done, 1, "said to be done");
    }
    let secret = ok(home, &["token", "--profile", "openai:a"]);
    assert_eq!(secret, "sk-test-openai:a\n");
    ok(home, &["key", "rotate"]);
    assert_says(home, &wanted);
    assert_eq!(home.count_of("key.rotated"), done + 1);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn a_rotation_is_done_or_not() {
    faults_of(&Case {
        name: "key rotate",
        args: &["key", "rotate"],
        prepare: three_keys,
        judge: judge_rotate,
    });
}

#[test]
fn a_rotation_of_every_key_is_done_or_not() {
    faults_of(&Case {
        name: "key rotate --compromised",
        args: &["key", "rotate", "--compromised"],
        prepare: three_keys,
        judge: judge_rotate,
    });
}

// backup create

const BACKUP: &str = "b.db";
const CREATE: &[&str] = &["backup", "create", BACKUP];

fn judge_create(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    assert_whole(home);
    let wanted = home.json(STORE);
    let is_there = home.at(BACKUP).exists();
    let recorded = home.count_of("backup.created");
    // Want of room is a reason to make a backup elsewhere: there it stays, and that is said.
    let is_known = recorded == 1 || after.run.stderr.contains("is not in the record");
    if after.run.status == 0 {
        assert!(is_there && is_known, "said to be done");
    }
    assert!(is_there || recorded == 0, "recorded, and not there");
    let can_remove = !after.fault.kind.has(Class::Remove);
    if can_remove {
        assert!(!is_there || is_known, "there, and not recorded");
        assert_clean(home);
    }
    if is_there {
        ok(home, &["backup", "verify", BACKUP]);
        std::fs::remove_file(home.at(BACKUP)).unwrap();
    }
    ok(home, CREATE); // also what could not be removed is out of the way then
    ok(home, &["backup", "verify", BACKUP]);
    assert_eq!(home.count_of("backup.created"), recorded + 1);
    assert_says(home, &wanted);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn a_backup_is_made_or_not() {
    faults_of(&Case {
        name: "backup create",
        args: CREATE,
        prepare: three_keys,
        judge: judge_create,
    });
}

/// A copy is made without a journal until its header is written, last: that this fails shows only
/// when the statement ends.
#[test]
fn a_backup_whose_header_cannot_be_written_is_none() {
    let scene = three_keys();
    let kept = Kept::of(&scene.home);
    let mut met = 0;
    let kind = KINDS.iter().find(|kind| kind.name == "write ENOSPC");
    for nth in 1.. {
        scene.begin_again(&kept);
        let fault = Fault {
            kind: kind.unwrap(),
            nth,
            stays: false,
        };
        let (run, seen) = run_with(scene.home.command(CREATE), &fault);
        if seen.hit == 0 {
            break;
        }
        if seen.place.contains(".clawkeep-tmp") {
            met += usize::from(seen.place.ends_with("-journal"));
            assert_eq!(run.status, 1, "{fault}: {run:?}");
            assert!(!scene.home.at(BACKUP).exists(), "{fault}");
            assert_clean(&scene.home);
        }
    }
    assert!(met > 0, "no journal was written");
}

// backup restore

const RESTORE: &[&str] = &["backup", "restore", BACKUP];

fn backed_up() -> Scene {
    let scene = three_keys();
    scene.home.run(CREATE).ok();
    scene.home.claude_login(NEW, 200);
    scene.home.run(&["sync"]).ok();
    scene
}

fn judge_restore(scene: &Scene, after: &After<'_>) {
    let home = &scene.home;
    assert_whole(home);
    let done = home.count_of("backup.restored");
    assert!(done <= 1, "restored {done} times");
    if after.run.status == 0 {
        assert_eq!(done, 1, "said to be done");
    }
    // The old state or the new one: either has the login that is newer than the backup.
    let login = ok(home, &["token", "--profile", PROFILE]);
    assert_eq!(login, format!("{NEW}\n"));
    ok(home, RESTORE);
    let wanted = home.json(STORE);
    assert_eq!(wanted["profiles"][PROFILE]["token"], NEW);
    for id in KEYS {
        assert_eq!(wanted["profiles"][id], api_key(id));
    }
    assert_says(home, &wanted);
    assert_clean(home);
    assert_whole(home);
}

#[test]
fn a_backup_is_put_back_or_not() {
    faults_of(&Case {
        name: "backup restore",
        args: RESTORE,
        prepare: backed_up,
        judge: judge_restore,
    });
}
