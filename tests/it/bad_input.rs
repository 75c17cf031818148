//! Everything that can be wrong with what the program finds: the exit status of the table, a
//! message that says what, where and what to do next, and nothing changed.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use crate::support::damage::{
    HISTORY, STATUS, Saved, TOKEN_MARK, alter, assert_private, chmod, fingerprints,
    home_with_vault, key_file, make_irregular, refused, refuses,
};
use crate::support::home::{CLAUDE, HOME_VARIABLE, HOUR, Home, Run, STORE, VAULT, now_ms};

#[test]
fn a_vault_cut_short_anywhere() {
    let home = home_with_vault();
    let saved = Saved::of(&home);
    let whole = saved.bytes().len();
    assert_eq!(whole % 4096, 0);
    let pages = (0..whole).step_by(4096);
    for length in pages.chain([1, 99, 100, 101]) {
        fs::write(home.at(VAULT), &saved.bytes()[..length]).unwrap();
        for args in [STATUS, HISTORY] {
            let said = refuses(
                &home,
                args,
                65,
                &["vault.db", "is damaged", "Nothing was changed"],
            );
            let how = if length < 512 {
                format!("only {length} bytes")
            } else {
                "malformed".to_owned()
            };
            assert!(said.stderr.contains(&how), "{how}: {}", said.stderr);
        }
    }
    saved.put_back(&home);
    // SQLite reads a missing last byte as zero, which the file's last byte may well be: then
    // nothing is missing.
    let status = home.run(STATUS).ok();
    fs::write(home.at(VAULT), &saved.bytes()[..whole - 1]).unwrap();
    let run = home.run(STATUS);
    assert!(run.status == 65 || run.stdout == status, "{run:?}");
    saved.put_back(&home);
    home.assert_sound();
}

/// Pages of zeros or of noise where SQLite's structures were.
#[test]
fn a_vault_with_a_damaged_page() {
    let home = home_with_vault();
    let saved = Saved::of(&home);
    let (mut noticed, pages) = (0, saved.bytes().len() / 4096);
    for page in 1..pages {
        let mut bytes = saved.bytes().to_vec();
        bytes[page * 4096..(page + 1) * 4096].fill(if page % 2 == 0 { 0 } else { 0xa5 });
        fs::write(home.at(VAULT), &bytes).unwrap();
        // A page that this command does not read is none of its business; one that it does must not
        // be believed.
        refuses(&home, &["audit", "verify"], 65, &["vault.db"]);
        let status = home.run(STATUS);
        assert!([0, 65].contains(&status.status), "page {page}: {status:?}");
        if status.status == 65 {
            assert!(status.stderr.lines().count() <= 3, "{}", status.stderr);
            noticed += 1;
        } else {
            assert!(
                status.stdout.contains("openai:default"),
                "page {page}: {status:?}"
            );
        }
        assert_eq!(fs::read(home.at(VAULT)).unwrap(), bytes, "page {page}");
        assert!(home.read(STORE).contains("sk-test-openai"));
    }
    assert!(noticed > pages / 4, "{noticed} of {pages}");
}

/// A checkpoint writes page 1, with the new length in it, before the pages at the end. Killed
/// there, the log has them.
#[test]
fn a_vault_killed_in_a_checkpoint_opens() {
    let home = home_with_vault();
    let small = Saved::of(&home);
    let (log, path) = (home.at(".clawdbot/vault.db-wal"), home.at(VAULT));
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA wal_autocheckpoint = 0; \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
         INSERT INTO terms (text) SELECT 'a text that makes the file grow ' || i FROM n;",
    )
    .unwrap();
    let written = fs::read(&log).unwrap();
    conn.close().unwrap();
    let large = Saved::of(&home);
    assert!(large.bytes().len() > small.bytes().len());
    fs::write(
        &path,
        [&large.bytes()[..4096], &small.bytes()[4096..]].concat(),
    )
    .unwrap();
    fs::write(&log, &written).unwrap();
    chmod(&log, 0o600);
    home.run(STATUS).ok();
    home.assert_sound();
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        large.bytes().len() as u64
    );
}

#[test]
fn a_vault_cut_short_beside_a_log() {
    let home = home_with_vault();
    let saved = Saved::of(&home);
    let half = saved.bytes().len() / 8192 * 4096;
    fs::write(home.at(VAULT), &saved.bytes()[..half]).unwrap();
    // what a crash leaves when nothing in it was committed
    home.write(".clawdbot/vault.db-wal", vec![7; 8192]);
    home.run(&["audit", "verify"]).exits(65);
    let run = home.run(&["sync"]);
    assert!(run.status == 65, "{run:?}");
    assert!(home.read(STORE).contains("sk-test-openai"));
}

#[cfg(unix)]
#[test]
fn something_else_at_the_vaults_path() {
    let home = home_with_vault();
    let path = home.at(VAULT);
    let foreign = home.at("foreign.db");
    let conn = Connection::open(&foreign).unwrap();
    conn.execute_batch("CREATE TABLE secrets (x); INSERT INTO secrets VALUES ('sk-test-foreign')")
        .unwrap();
    conn.close().unwrap();
    type Plant<'p> = &'p dyn Fn(&Path);
    let plants: [(&str, Plant<'_>, &[&str]); 7] = [
        (
            "another database",
            &|path| {
                fs::copy(&foreign, path).unwrap();
            },
            &["is not a clawkeep vault"],
        ),
        (
            "a text",
            &|path| fs::write(path, "sk-test-text ".repeat(40)).unwrap(),
            &["is not a clawkeep vault"],
        ),
        (
            "a short text",
            &|path| fs::write(path, "sk-test-text").unwrap(),
            &["only 12 bytes"],
        ),
        (
            "a directory",
            &|path| fs::create_dir(path).unwrap(),
            &["is not a regular file", "mv "],
        ),
        ("a FIFO", &make_irregular, &["is not a regular file", "mv "]),
        (
            "a link",
            &|path| symlink(&foreign, path).unwrap(),
            &["is a symbolic link"],
        ),
        (
            "a dangling link",
            &|path| symlink("nowhere", path).unwrap(),
            &["is a symbolic link"],
        ),
    ];
    for (what, plant, words) in plants {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        plant(&path);
        if fs::symlink_metadata(&path).unwrap().is_file() {
            chmod(&path, 0o600);
        }
        for args in [
            STATUS,
            HISTORY,
            &["sync"],
            &["init"],
            &["audit", "verify"],
            &["export"],
        ] {
            let run = refuses(&home, args, 65, words);
            assert!(run.stderr.contains("vault.db"), "{what}: {}", run.stderr);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_vault_that_is_a_link_to_a_real_one() {
    let home = home_with_vault();
    fs::rename(home.at(VAULT), home.at("real.db")).unwrap();
    symlink(home.at("real.db"), home.at(VAULT)).unwrap();
    refuses(
        &home,
        STATUS,
        65,
        &["vault.db is a symbolic link", "Name the file itself"],
    );
    // Its directory may be a link: that is resolved once.
    fs::remove_file(home.at(VAULT)).unwrap();
    fs::rename(home.at("real.db"), home.at(VAULT)).unwrap();
    symlink(home.at(".clawdbot"), home.at("linked")).unwrap();
    let through = home.at("linked/vault.db");
    home.run(&["--vault", through.to_str().unwrap(), "models", "status"])
        .ok();
}

/// What SQLite has beside a vault is a file. A link there is never followed, by a repair least of
/// all.
#[cfg(unix)]
#[test]
fn a_log_that_is_no_file() {
    let home = home_with_vault();
    home.write("other", "a file of the user's that everyone may read");
    chmod(&home.at("other"), 0o644);
    for suffix in ["-wal", "-shm"] {
        let log = home.at(&format!("{VAULT}{suffix}"));
        let _ = fs::remove_file(&log);
        symlink(home.at("other"), &log).unwrap();
        refuses(&home, STATUS, 65, &["is a symbolic link", "mv "]);
        let repair = home.run(&["doctor", "--repair"]).exits(1);
        assert!(repair.stdout.contains("is a symbolic link"), "{repair:?}");
        assert_eq!(home.at("other").metadata().unwrap().mode() & 0o777, 0o644);
        fs::remove_file(&log).unwrap();
        make_irregular(&log);
        refuses(&home, STATUS, 65, &["is not a regular file", "mv "]);
        fs::remove_file(&log).unwrap();
    }
    home.run(STATUS).ok();
}

#[test]
fn a_vault_of_a_newer_version() {
    let home = home_with_vault();
    alter(&home, |conn| {
        conn.execute_batch(
            "INSERT INTO refinery_schema_history SELECT 99, 'later', applied_on, checksum FROM \
             refinery_schema_history LIMIT 1",
        )
        .unwrap();
    });
    for args in [STATUS, HISTORY, &["sync"], &["audit", "verify"]] {
        refuses(
            &home,
            args,
            65,
            &["has schema 99", "knows up to 4", "Install the version"],
        );
    }
}

#[test]
fn a_vault_whose_version_is_gone() {
    let home = home_with_vault();
    let saved = Saved::of(&home);
    for sql in [
        "DELETE FROM refinery_schema_history",
        "DROP TABLE refinery_schema_history",
    ] {
        alter(&home, |conn| conn.execute_batch(sql).unwrap());
        refuses(&home, STATUS, 65, &["vault.db", "Nothing was changed"]);
        saved.put_back(&home);
    }
}

#[cfg(unix)]
#[test]
fn key_files_that_do_not_open_it() {
    let (home, other) = (home_with_vault(), home_with_vault());
    let key = key_file(&home);
    let text = fs::read(&key).unwrap();
    let (cut, empty) = (text[..text.len() - 10].to_vec(), Vec::new());
    let others = fs::read(key_file(&other)).unwrap();
    let named = "CLAWKEEP_KEY_FILE";
    for (bytes, words) in [
        (cut, ["is not a whole key file", named]),
        (empty, ["is not a whole key file", named]),
        (
            b"sk-test-not-a-key".to_vec(),
            ["is not a whole key file", named],
        ),
        (vec![0xff; 300], ["is not a whole key file", named]),
        (others, ["is not this vault's", named]),
        (vec![b'#'; 5000], ["is larger than 4096 bytes", "mv "]),
    ] {
        fs::write(&key, &bytes).unwrap();
        for args in [STATUS, &["sync"], &["export"], &["audit", "verify"]] {
            let run = refuses(&home, args, 77, &words);
            assert!(run.stderr.contains(".config/clawkeep"), "{}", run.stderr);
            assert_eq!(run.stdout, "");
        }
        home.run(HISTORY).ok(); // which needs no key
    }
    fs::remove_file(&key).unwrap();
    refuses(
        &home,
        STATUS,
        77,
        &["no key file at", named, "No new key can open"],
    );
    make_irregular(&key);
    chmod(&key, 0o600);
    refuses(&home, STATUS, 77, &["is not a regular file"]);
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    chmod(&key, 0o700);
    refuses(&home, STATUS, 77, &["is not a regular file"]);
    fs::remove_dir(&key).unwrap();
    fs::write(home.at("elsewhere"), &text).unwrap();
    chmod(&home.at("elsewhere"), 0o600);
    symlink(home.at("elsewhere"), &key).unwrap();
    refuses(&home, STATUS, 77, &["is a symbolic link"]);
    let mut command = home.command(STATUS);
    command.env("CLAWKEEP_KEY_FILE", home.at("elsewhere"));
    Run::from(command.output().unwrap()).ok();
    let mut command = home.command(STATUS);
    command.env("CLAWKEEP_KEY_FILE", key_file(&other));
    refused(home.path(), command, 77, &["is not this vault's"]);
}

#[test]
fn a_home_that_is_no_absolute_path() {
    let home = Home::new();
    let mut command = home.command(STATUS);
    command.env(HOME_VARIABLE, "relative");
    let remedy = format!("Set {HOME_VARIABLE}");
    refused(home.path(), command, 1, &["`relative`", &remedy]);
}

#[test]
fn a_damaged_login_of_claude_code_changes_nothing_that_is_stored() {
    type Plant<'p> = &'p dyn Fn(&Path);
    let torn = r#"{"claudeAiOauth": {"accessToken": "sk-test-claude-9", "expi"#;
    let plants: [(&str, Plant<'_>); 7] = [
        ("torn", &|path| fs::write(path, torn).unwrap()),
        ("empty", &|path| fs::write(path, "").unwrap()),
        ("blank", &|path| fs::write(path, " \n").unwrap()),
        ("not UTF-8", &|path| {
            fs::write(
                path,
                b"{\"claudeAiOauth\": {\"accessToken\": \"\xff\xfe\"}}",
            )
            .unwrap()
        }),
        ("a FIFO", &make_irregular),
        ("a directory", &|path| fs::create_dir(path).unwrap()),
        ("20 MiB", &|path| {
            fs::write(path, vec![b' '; 20 << 20]).unwrap()
        }),
    ];
    let home = home_with_vault();
    let answer = home.run(&["models", "status", "--plain"]).ok();
    for (what, plant) in plants {
        let path = home.at(CLAUDE);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        plant(&path);
        // That it was not imported is recorded once, as long as the reason stays.
        home.run(STATUS).ok();
        for args in [
            &["models", "status", "--plain"][..],
            &["sync"],
            &["models", "status", "--json"],
        ] {
            // A source that cannot be read is worked around: what is stored is shown, with a
            // warning that names it.
            let run = refuses(
                &home,
                args,
                0,
                &["Warning:", CLAUDE, "the stored anthropic:claude-cli"],
            );
            assert_eq!(run.stderr.lines().count(), 1, "{what}: {}", run.stderr);
        }
        assert_eq!(
            home.run(&["models", "status", "--plain"]).stdout,
            answer,
            "{what}"
        );
        assert_eq!(
            home.exported_token("anthropic:claude-cli").as_deref(),
            Some("sk-test-claude-1")
        );
        // The same at the first run, which has nothing stored.
        let first = Home::new();
        fs::create_dir(first.at(".claude")).unwrap();
        plant(&first.at(CLAUDE));
        let run = first.run(STATUS).exits(0);
        assert!(run.stderr.contains("Warning:"), "{what}: {}", run.stderr);
        assert!(!run.stderr.contains(TOKEN_MARK), "{what}: {}", run.stderr);
    }
    let skipped = home
        .run(&["history", "--kind", "sync.skipped", "--json"])
        .json();
    let skipped = skipped["events"].as_array().unwrap();
    assert_eq!(
        skipped.len(),
        1,
        "one reason, however often it is seen: {skipped:?}"
    );
    assert_eq!(skipped[0]["detail"]["why"], "source-damaged");
}

#[test]
fn a_damaged_configuration() {
    let home = home_with_vault();
    let config = ".clawdbot/clawdbot.json";
    for (text, place) in [
        (
            &b"{\n  auth: {\n    profiles: sk-test-config,\n  },\n}"[..],
            "line 3, column 15",
        ),
        (b"{ auth: {", "line 1, column"),
        (b"", "line 1, column"),
        (b"{}\n}", "line 2, column 1"),
        (b"{ a: 'sk-test-config", "line 1, column"),
        (b"\xff\xfe{}", "line 1, column"),
        (
            &[b'['; 10_000],
            "deeper than 128 levels at line 1, column 129",
        ),
    ] {
        home.write(config, text);
        // The record can be asked all the same.
        home.run(HISTORY).ok();
        home.run(&["audit", "head"]).ok();
        for args in [STATUS, &["sync"], &["export"]] {
            let words = ["configuration", config, place, "nothing was changed"];
            refuses(&home, args, 65, &words);
        }
    }
    home.write(config, vec![b' '; 17 << 20]);
    refuses(&home, STATUS, 65, &["larger than", config]);
    fs::remove_file(home.at(config)).unwrap();
    if cfg!(unix) {
        make_irregular(&home.at(config));
        refuses(&home, STATUS, 65, &["is not a regular file", config]);
        fs::remove_file(home.at(config)).unwrap();
    }
    fs::create_dir(home.at(config)).unwrap();
    refuses(&home, STATUS, 65, &["is not a regular file", config]);
}

#[test]
fn a_vault_named_in_a_directory_that_does_not_exist() {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let args = |command: &'static str| ["--vault", "new/dir/v.db", command];
    // Reading makes nothing.
    refuses(
        &home,
        &args("history"),
        1,
        &["there is no vault at", "new/dir/v.db", "clawkeep init"],
    );
    refuses(
        &home,
        &["--vault", "new/dir/v.db", "audit", "verify"],
        1,
        &["there is no vault at"],
    );
    home.run(&args("init")).ok();
    for dir in ["new", "new/dir"] {
        assert_private(&home.at(dir));
    }
    assert!(!home.at(VAULT).exists());
    let before = fingerprints(home.path());
    home.run(&args("init")).exits(1); // there is one already
    assert_eq!(fingerprints(home.path()), before);
    home.write("file", "");
    refuses(
        &home,
        &["--vault", "file/v.db", "models", "status"],
        1,
        &["file"],
    );
}

#[test]
fn a_home_with_spaces_and_letters_of_every_kind() {
    let home = Home::new();
    let mut names = vec!["with a space", "gänse 鵞鳥 🦢", "-dash"];
    if cfg!(unix) {
        names.extend(["quote'\"s", "new\nline"]);
    }
    for name in names {
        let dir = home.at(name);
        fs::create_dir(&dir).unwrap();
        fs::create_dir_all(dir.join(".clawdbot/agents")).unwrap();
        let inside = |args: &[&str]| {
            let mut command = home.command(args);
            command.env(HOME_VARIABLE, &dir).current_dir(&dir);
            Run::from(command.output().unwrap())
        };
        let login = json!({"claudeAiOauth": {"accessToken": "sk-test-claude-1",
            "refreshToken": "r", "expiresAt": now_ms() + 900 * HOUR}});
        fs::create_dir(dir.join(".claude")).unwrap();
        fs::write(dir.join(CLAUDE), login.to_string()).unwrap();
        let first = inside(STATUS).exits(0);
        assert!(
            first.stdout.contains("anthropic:claude-cli ok"),
            "{name:?}: {first:?}"
        );
        assert!(
            fs::read_to_string(dir.join(STORE))
                .unwrap()
                .contains("sk-test-claude-1")
        );
        inside(&["audit", "verify"]).ok();
        assert_eq!(inside(STATUS).exits(0).stderr, "", "{name:?}");
    }
}

#[test]
fn settings_that_are_utf_16_are_to_be_saved_as_utf_8() {
    let home = home_with_vault();
    let settings = ".clawdbot/clawkeep.toml";
    let text = "[clawkeep]\nfallback = \"none\"\n";
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
        home.write(settings, units.flat_map(to_bytes).collect::<Vec<u8>>());
        let words = [settings, "encoded as UTF-16", "Save it as UTF-8"];
        refuses(&home, STATUS, 65, &words);
    }
    home.write(settings, format!("\u{feff}{text}"));
    home.run(STATUS).ok();
}

#[test]
fn a_backup_that_is_not_there_is_reported_as_missing() {
    let home = home_with_vault();
    let words = ["cannot open", "nosuch.db", "does not exist"];
    refuses(&home, &["backup", "restore", "nosuch.db"], 1, &words);
}

#[test]
fn heads_that_are_none() {
    let home = home_with_vault();
    let head = home.run(&["audit", "head"]).ok();
    let mut words: Vec<&str> = head.split_whitespace().collect();
    let foreign = "0".repeat(32);
    words[1] = &foreign;
    let cases = [
        (b"sk-test-no-head".to_vec(), "is not a head"),
        (vec![0xff; 40], "is not a head"),
        (
            head.trim_end().as_bytes()[..head.len() - 4].to_vec(),
            "is not a head",
        ),
        (words.join(" ").into_bytes(), "belongs to vault"),
    ];
    let heads = home.at(".local/state/clawkeep/heads");
    let kept = fs::read_dir(heads).unwrap().next().unwrap().unwrap().path();
    for (bytes, word) in cases {
        home.write("head", &bytes);
        refuses(&home, &["audit", "verify", "--head", "head"], 65, &[word]);
        let whole = fs::read(&kept).unwrap();
        fs::write(&kept, &bytes).unwrap();
        refuses(&home, &["audit", "verify"], 65, &[word]);
        fs::write(&kept, whole).unwrap();
    }
    fs::remove_file(&kept).unwrap();
    fs::create_dir(&kept).unwrap();
    refuses(&home, &["audit", "verify"], 65, &["is not a head"]);
    fs::remove_dir(&kept).unwrap();
    refuses(
        &home,
        &["audit", "verify", "--head", "nowhere"],
        1,
        &["cannot read the head nowhere"],
    );
    home.assert_sound();
}

/// Nothing here waits: not for a FIFO's writer, not for a lock that nobody holds.
#[test]
fn refusals_are_quick() {
    let home = home_with_vault();
    fs::remove_file(home.at(VAULT)).unwrap();
    make_irregular(&home.at(VAULT));
    let started = Instant::now();
    home.run(STATUS).exits(65);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_file_where_the_state_directory_should_be() {
    let home = Home::without_gateway();
    home.claude_login("sk-test-claude-1", 100);
    home.write(".local/share/clawkeep", "");
    refuses(
        &home,
        STATUS,
        1,
        &["cannot create", ".local/share/clawkeep"],
    );
    refuses(&home, HISTORY, 1, &["there is no vault at"]);
}
