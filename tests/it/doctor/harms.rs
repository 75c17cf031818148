//! For each finding a way to make it appear, and a way to make it go.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{chown, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::{AgentName, ProfileId, UnixMs};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::GrantState;
use clawkeep::internal::vault::{ChangeNote, KeySources, Tx, Upgrade, Vault};
use serde_json::{Value, json};

use super::finding_id::FindingId;
use crate::support::damage::{
    Saved, alter, alter_past_triggers, chmod, home_with_vault, key_file, set_modified,
};
use crate::support::home::{AGENT, CLAUDE, HOUR, Home, RUNTIME, STORE, VAULT, now_ms};
#[cfg(unix)]
use crate::support::mount::{Fuse, put_on};
use crate::support::provider::{Instead, Provider};
use crate::support::vault::set_all_grants;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
pub(super) const CONFIG: &str = ".clawdbot/clawdbot.json";
const MCP_TOKENS: &str = ".mcp-auth/mcp-remote-v1/0f_tokens.json";
/// An agent that has nothing in the vault.
pub(super) const OPS: &str = ".clawdbot/agents/ops/agent";

pub(super) type ByHand = Box<dyn FnOnce(&Home, &str)>;

/// A home in which nothing is wrong.
pub(super) fn healthy() -> Home {
    let home = home_with_vault();
    chmod(&home.at(".clawdbot"), 0o700);
    chmod(&home.at(AGENT), 0o700);
    home
}

/// How a finding goes away.
pub(super) enum Mend {
    /// `--repair` does it.
    Repair,
    /// A person does it, as its fix says, which is given. `--repair` leaves it.
    ByHand(ByHand),
    /// It tells of something that happened, and is not told again.
    Passes,
    /// This machine cannot make it appear, which was reported.
    NotHere,
}

pub(super) fn by_hand(mend: impl FnOnce(&Home, &str) + 'static) -> Mend {
    Mend::ByHand(Box::new(mend))
}

/// Makes a finding appear.
pub(super) type Harm = fn(&Home) -> Mend;

pub(super) const CASES: &[(FindingId, Harm)] = &[
    (FindingId::VaultUnusable, |home| {
        let saved = Saved::of(home);
        fs::write(home.at(VAULT), "no vault ".repeat(1000)).unwrap();
        by_hand(move |home, _| saved.put_back(home))
    }),
    (FindingId::VaultDamaged, |home| {
        let saved = Saved::of(home);
        alter(home, |conn| {
            conn.pragma_update(None, "ignore_check_constraints", true)
                .unwrap();
            conn.execute(
                "INSERT INTO record_keys (purpose, number, created_at, sealed) VALUES \
                ('x', 1, 1, x'00')",
                [],
            )
            .unwrap();
        });
        by_hand(move |home, _| saved.put_back(home))
    }),
    (FindingId::VaultTwo, |home| {
        let dir = home.at("second");
        let other = ["--state-dir", dir.to_str().unwrap(), "sync"];
        home.run(&other).ok();
        fs::create_dir_all(home.at(".local/share")).unwrap();
        fs::rename(dir, home.at(".local/share/clawkeep")).unwrap();
        Mend::Repair
    }),
    #[cfg(unix)]
    (FindingId::VaultPlace, |home| {
        // What OpenClaw's upgrade leaves.
        fs::rename(home.at(".clawdbot"), home.at(".openclaw")).unwrap();
        symlink(".openclaw", home.at(".clawdbot")).unwrap();
        Mend::Repair
    }),
    (FindingId::VaultStray, |home| {
        home.write(".local/share/clawkeep/vault.db", "");
        by_hand(|home, _| fs::remove_file(home.at(".local/share/clawkeep/vault.db")).unwrap())
    }),
    (FindingId::VaultLeft, |home| {
        fs::create_dir_all(home.at(".local/share/clawkeep")).unwrap();
        let copy = ".local/share/clawkeep/vault.db";
        home.run(&["backup", "create", copy]).ok();
        Mend::Repair
    }),
    #[cfg(unix)]
    (FindingId::VaultShared, |home| {
        let Some(mount) = put_on(Fuse::Bindfs, home) else {
            return Mend::NotHere;
        };
        home.write(SETTINGS, "clawkeep.allow_shared_storage = true\n");
        by_hand(move |home, _| {
            drop(mount);
            fs::remove_dir(home.at(".clawdbot")).unwrap();
            fs::rename(home.at("disk"), home.at(".clawdbot")).unwrap();
        })
    }),
    (FindingId::VaultUnopened, |home| {
        let saved = Saved::of(home);
        alter_past_triggers(home, |conn| {
            conn.execute(
                "UPDATE profiles SET sealed = zeroblob(80) WHERE provider = 'openai'",
                [],
            )
            .unwrap()
        });
        by_hand(move |home, _| saved.put_back(home))
    }),
    (FindingId::RecordBroken, |home| {
        let saved = Saved::of(home);
        alter_past_triggers(home, |conn| {
            conn.execute("UPDATE events SET at = at + 1 WHERE seq = 1", [])
                .unwrap()
        });
        by_hand(move |home, _| saved.put_back(home))
    }),
    (FindingId::RecordHead, |home| {
        fs::write(head_file(home), "no head").unwrap();
        by_hand(|home, fix| {
            assert!(fix.starts_with("rm "), "{fix}");
            fs::remove_file(head_file(home)).unwrap();
        })
    }),
    (FindingId::RecordUnkept, |home| {
        fs::remove_file(head_file(home)).unwrap();
        by_hand(|home, _| {
            home.claude_login("sk-test-claude-2", 200);
            home.run(&["sync"]).ok();
        })
    }),
    (FindingId::KeysUnavailable, |home| {
        let key = key_file(home);
        fs::rename(&key, home.at("away.key")).unwrap();
        by_hand(move |home, _| fs::rename(home.at("away.key"), key).unwrap())
    }),
    (FindingId::KeysSingle, |_| {
        by_hand(|home, _| {
            alter_past_triggers(home, |conn| {
                let copy = "INSERT INTO key_slots SELECT 2, kind, zeroblob(8), check_value, kdf, \
                    created_at, wrapped, slot_key FROM key_slots";
                conn.execute(copy, []).unwrap()
            });
        })
    }),
    #[cfg(unix)]
    (FindingId::KeysBeside, |home| {
        // The whole state directory is copied at once, and with it the key.
        let key = key_file(home);
        let inside = home.at(".clawdbot/keys");
        fs::create_dir(&inside).unwrap();
        chmod(&inside, 0o700);
        fs::rename(&key, inside.join(key.file_name().unwrap())).unwrap();
        fs::remove_dir(home.at(".config/clawkeep")).unwrap();
        symlink(&inside, home.at(".config/clawkeep")).unwrap();
        by_hand(move |home, _| {
            fs::remove_file(home.at(".config/clawkeep")).unwrap();
            fs::rename(home.at(".clawdbot/keys"), home.at(".config/clawkeep")).unwrap();
        })
    }),
    #[cfg(unix)]
    (FindingId::PermissionsWritable, |home| {
        chmod(&home.at(".clawdbot"), 0o770);
        Mend::Repair
    }),
    #[cfg(unix)]
    (FindingId::PermissionsSecret, |home| {
        chmod(&home.at(STORE), 0o644);
        chmod(&key_file(home), 0o640);
        Mend::Repair
    }),
    #[cfg(unix)]
    (FindingId::PermissionsOwner, |home| {
        home.write(CONFIG, "{}");
        if rustix::process::geteuid().is_root() {
            chown(home.at(CONFIG), Some(65_534), None).unwrap();
        } else {
            fs::remove_file(home.at(CONFIG)).unwrap();
            symlink("/etc/hostname", home.at(CONFIG)).unwrap(); // root's
        }
        by_hand(|home, fix| {
            assert!(fix.starts_with("sudo chown "), "{fix}");
            fs::remove_file(home.at(CONFIG)).unwrap();
        })
    }),
    #[cfg(unix)]
    (FindingId::PermissionsReadable, |home| {
        chmod(&home.at(".clawdbot"), 0o755);
        chmod(&home.at(VAULT), 0o644);
        Mend::Repair
    }),
    #[cfg(unix)]
    (FindingId::PermissionsLogin, |home| {
        chmod(&home.at(CLAUDE), 0o644);
        by_hand(run_fix)
    }),
    #[cfg(unix)]
    (FindingId::PermissionsKeys, |home| {
        let keys = ".config/io.datasette.llm/keys.json";
        home.write(keys, r#"{"openai": "sk-test-of-llm-0123456789abcdef"}"#);
        for dir in [".", ".config", ".config/io.datasette.llm"] {
            chmod(&home.at(dir), 0o755);
        }
        chmod(&home.at(keys), 0o644);
        by_hand(run_fix)
    }),
    (FindingId::StoreCorrupt, |home| {
        home.write(
            &format!("{OPS}/auth-profiles.json"),
            "{\"profiles\": {\"a\"",
        );
        by_hand(|home, fix| {
            let command = fix.split(": ").last().unwrap().to_owned();
            run_fix(home, &command);
        })
    }),
    (FindingId::StoreUnusable, |home| {
        fs::create_dir_all(home.at(OPS).join("auth-profiles.json")).unwrap();
        by_hand(|home, _| fs::remove_dir(home.at(OPS).join("auth-profiles.json")).unwrap())
    }),
    (FindingId::StoreUnwritten, |home| {
        let in_the_way = home.at(STORE).with_extension("json.clawkeep-tmp");
        fs::create_dir_all(in_the_way.join("x")).unwrap();
        home.claude_login("sk-test-claude-2", 200);
        by_hand(move |_, _| fs::remove_dir_all(in_the_way).unwrap())
    }),
    (FindingId::StoreSetAside, |home| {
        home.write(STORE, "{\"profiles\": {\"a\"");
        Mend::Passes
    }),
    (FindingId::StoreMerged, |home| {
        edit_store(home, |store| {
            store["lastGood"] = json!({"openai": "openai:default"})
        });
        Mend::Passes
    }),
    (FindingId::StoreOldCopy, |home| {
        old_copies(home, 1);
        Mend::Passes
    }),
    (FindingId::StoreLeft, |home| {
        old_copies(home, 3);
        by_hand(|home, fix| run_fix(home, fix.split("then: ").last().unwrap()))
    }),
    (FindingId::StoreVanished, |home| {
        put(home, "p:a", &token(now_ms() + 90 * HOUR));
        home.run(&["sync"]).ok();
        edit_store(home, |store| store["profiles"] = json!({}));
        by_hand(|home, _| {
            for id in ["p:a", "openai:default"] {
                home.run(&["models", "auth", "restore", id]).ok();
            }
        })
    }),
    (FindingId::StoreEntry, |home| {
        put(home, "odd", &json!({"type": "sso", "provider": "x"}));
        by_hand(|home, _| {
            edit_store(home, |store| {
                drop(store["profiles"].as_object_mut().unwrap().remove("odd"))
            });
        })
    }),
    (FindingId::StoreWithheld, |home| {
        home.write(&format!("{OPS}/openclaw-agent.sqlite"), "");
        by_hand(|home, fix| {
            assert!(fix.contains("clawkeep export --to FILE --reveal"), "{fix}");
            fs::remove_file(home.at(OPS).join("openclaw-agent.sqlite")).unwrap();
        })
    }),
    (FindingId::StoreBesideOpenclaw, |home| {
        fs::remove_file(home.at(STORE)).unwrap();
        home.run(&["sync"]).ok(); // written by this program alone
        home.write(".clawdbot/state/openclaw.sqlite", "");
        Mend::Repair
    }),
    (FindingId::StoreOpenclaw, |home| {
        home.write(".openclaw/openclaw.json", "{}");
        by_hand(|home, fix| {
            assert!(fix.contains("clawkeep connect openclaw"), "{fix}");
            fs::remove_dir_all(home.at(".openclaw")).unwrap();
        })
    }),
    (FindingId::LegacyImported, |home| {
        home.write(&format!("{OPS}/auth.json"), older_store("sk-test-older"));
        Mend::Passes
    }),
    (FindingId::LegacyAuth, |home| {
        home.write(&format!("{AGENT}/auth.json"), older_store("sk-test-older"));
        by_hand(|home, fix| run_fix(home, fix.split(": ").last().unwrap()))
    }),
    (FindingId::LegacyOauth, |home| {
        let older =
            json!({"google": {"access": "sk-test-older", "refresh": "sk-test-r", "expires": 5}});
        home.write(".clawdbot/credentials/oauth.json", older.to_string());
        by_hand(|home, fix| run_fix(home, fix.split(": ").last().unwrap()))
    }),
    (FindingId::LegacyAgent, |home| {
        home.write(".clawdbot/agent/models.json", "{}");
        Mend::Repair
    }),
    (FindingId::SourceDamaged, |home| {
        home.write(CLAUDE, "{\"claudeAiOauth\": {");
        by_hand(|home, _| {
            home.claude_login("sk-test-claude-2", 200);
        })
    }),
    (FindingId::SourceLoggedOut, |home| {
        home.write(
            CLAUDE,
            r#"{"claudeAiOauth": {"accessToken": "", "expiresAt": 0}}"#,
        );
        by_hand(|home, fix| {
            assert!(fix.starts_with("Log in again: claude auth login"), "{fix}");
            home.claude_login("sk-test-claude-2", 200);
        })
    }),
    (FindingId::SourceUnusable, |home| {
        home.write(
            CLAUDE,
            r#"{"claudeAiOauth": {"accessToken": "sk-test-claude-2", "expiresAt": "soon"}}"#,
        );
        by_hand(|home, fix| {
            assert_eq!(fix, "Log in again: claude auth login");
            home.claude_login("sk-test-claude-2", 200);
        })
    }),
    (FindingId::SourceOtherAccount, |home| {
        let account = |uuid: &str| json!({"oauthAccount": {"accountUuid": uuid}}).to_string();
        home.write(".claude.json", account("u-1"));
        home.run(&["sync"]).ok();
        home.write(".claude.json", account("u-2"));
        home.claude_login("sk-test-claude-2", 50);
        by_hand(|home, fix| {
            assert!(fix.contains("two profiles"), "{fix}");
            home.run(&["models", "auth", "keep", "anthropic:claude-cli"])
                .ok();
        })
    }),
    (FindingId::SourceEarlier, |home| {
        home.claude_login("sk-test-claude-2", 50);
        by_hand(|home, fix| {
            let adopt = "clawkeep models auth adopt anthropic:claude-cli";
            assert!(fix.contains(adopt), "{fix}");
            run_fix(home, adopt);
        })
    }),
    (FindingId::SourceLoginExpiring, |home| {
        let login = json!({"claudeAiOauth": {
            "accessToken": "sk-test-claude-2",
            "expiresAt": now_ms() + 200 * HOUR,
            "refreshTokenExpiresAt": now_ms() + 50 * HOUR,
        }});
        home.write(CLAUDE, login.to_string());
        by_hand(|home, fix| {
            assert!(fix.starts_with("Log in again: claude auth login"), "{fix}");
            home.claude_login("sk-test-claude-3", 300);
        })
    }),
    (FindingId::SourceServerLogin, |home| {
        let login = json!({"access_token": "sk-test-mcp", "expires_in": 7200});
        home.write(MCP_TOKENS, login.to_string());
        by_hand(|home, fix| {
            assert_eq!(fix, "Log in again with mcp-remote");
            let login = json!({"access_token": "sk-test-mcp", "expires_in": 2_000_000});
            home.write(MCP_TOKENS, login.to_string());
        })
    }),
    (FindingId::SourceNoKey, |home| {
        let program = env!("CARGO_BIN_EXE_clawkeep");
        let helper = format!("{program} token -q --profile anthropic:gone --strict");
        home.write(
            ".claude/settings.json",
            json!({"apiKeyHelper": helper}).to_string(),
        );
        by_hand(|home, fix| {
            assert!(fix.contains("clawkeep add anthropic"), "{fix}");
            fs::remove_file(home.at(".claude/settings.json")).unwrap();
        })
    }),
    (FindingId::SourceShared, |home| {
        let key = "sk-test-of-two-0123456789abcdef";
        home.write(".qwen/.env", format!("OPENAI_API_KEY={key}\n"));
        home.write(".gemini/.env", format!("OPENAI_API_KEY={key}\n"));
        by_hand(|home, _| fs::remove_file(home.at(".gemini/.env")).unwrap())
    }),
    (FindingId::SourceNoLogin, |home| {
        home.write(".codex/auth.json", r#"{"OPENAI_API_KEY": "sk-test"}"#);
        by_hand(|home, fix| {
            assert!(fix.contains("clawkeep import "), "{fix}");
            fs::remove_file(home.at(".codex/auth.json")).unwrap();
        })
    }),
    (FindingId::CredentialExpired, |home| {
        put(home, "p:a", &token(now_ms() - 50 * HOUR));
        by_hand(paste)
    }),
    (FindingId::CredentialMissing, |home| {
        put(home, "p:a", &login(0, "sk-test-refresh"));
        by_hand(|home, fix| paste(home, fix.split(": ").last().unwrap()))
    }),
    (FindingId::CredentialExpiry, |home| {
        put(home, "p:a", &token(now_ms() / 1000));
        by_hand(|home, fix| paste(home, fix.split(": ").last().unwrap()))
    }),
    (FindingId::CredentialEmpty, |home| {
        put(
            home,
            "p:a",
            &json!({"type": "api_key", "provider": "p", "key": " "}),
        );
        by_hand(paste)
    }),
    (FindingId::CredentialMisnamed, |home| {
        put(
            home,
            "p:a",
            &json!({"type": "api_key", "provider": "p", "api_key": "sk-test-p"}),
        );
        by_hand(|home, fix| {
            assert!(
                fix.contains("rename the field \"api_key\" to \"key\""),
                "{fix}"
            );
            put(
                home,
                "p:a",
                &json!({"type": "api_key", "provider": "p", "key": "sk-test-p"}),
            );
        })
    }),
    (FindingId::CredentialMalformed, |home| {
        put(
            home,
            "p:a",
            &json!({"type": "api_key", "provider": "p", "key": "${P_API_KEY}"}),
        );
        by_hand(paste)
    }),
    (FindingId::CredentialReference, |home| {
        put(
            home,
            "p:a",
            &json!({"type": "api_key", "provider": "p", "keyRef": {"source": "env", "id": "P"}}),
        );
        by_hand(|home, _| drop(home.run(&["models", "auth", "remove", "p:a", "--yes"]).ok()))
    }),
    (FindingId::CredentialBorrowed, |home| {
        let file = json!({"p": {"type": "api", "key": "sk-test-p"}});
        home.write(".local/share/opencode/auth.json", file.to_string());
        home.run(&["import", ".local/share/opencode/auth.json"])
            .ok();
        by_hand(|home, fix| {
            let (_, command) = fix.split_once("clawkeep ").unwrap();
            let file = command.rsplit(' ').next().unwrap().replacen("~/", "", 1);
            home.run(&["import", "--own", &file]).ok();
        })
    }),
    (FindingId::CredentialDead, |home| {
        home.write(SETTINGS, Provider::start().setting("p"));
        put(
            home,
            "p:a",
            &login(now_ms() - HOUR, "sk-test-refresh-unknown"),
        );
        home.run(&["token", "--profile", "p:a"]).exits(1);
        by_hand(log_in_anew)
    }),
    (FindingId::CredentialSpent, |home| {
        let provider = Provider::start();
        home.write(SETTINGS, provider.setting("p"));
        put(home, "p:a", &login(now_ms() - HOUR, "sk-test-refresh-old"));
        provider.next([Instead::Answer(502, Vec::new(), String::new())]);
        home.run(&["token", "--profile", "p:a"]).exits(1);
        set_all_grants(home, |grant| grant.state = GrantState::Spent);
        by_hand(log_in_anew)
    }),
    (FindingId::CredentialUncertain, |home| {
        let provider = Provider::start();
        home.write(SETTINGS, provider.setting("p"));
        let refresh = provider.grant("a");
        put(home, "p:a", &login(now_ms() - HOUR, &refresh));
        provider.next([Instead::Answer(502, Vec::new(), String::new())]);
        home.run(&["token", "--profile", "p:a"]).exits(1);
        by_hand(|home, fix| {
            assert_eq!(fix, "Try to refresh it: clawkeep refresh p:a");
            home.run(&["refresh", "p:a"]).ok();
        })
    }),
    (FindingId::CredentialEndpoint, |home| {
        let provider = Provider::start();
        let settings = provider.setting("p");
        home.write(SETTINGS, &settings);
        put(home, "p:a", &login(now_ms() + 90 * HOUR, "sk-test-refresh"));
        home.run(&["models", "status"]).ok();
        home.write(SETTINGS, Provider::start().setting("p"));
        by_hand(move |home, fix| {
            assert!(fix.ends_with("clawkeep models auth trust p:a"), "{fix}");
            home.write(SETTINGS, settings);
        })
    }),
    (FindingId::CredentialOverdue, |home| {
        put(home, "p:a", &login(now_ms() - HOUR, "sk-test-refresh"));
        by_hand(|home, _| put(home, "p:a", &login(now_ms() + 90 * HOUR, "sk-test-refresh")))
    }),
    (FindingId::CredentialExpiring, |home| {
        put(home, "p:a", &token(now_ms() + 2 * HOUR));
        by_hand(paste)
    }),
    (FindingId::CredentialDue, |home| {
        put(home, "p:a", &login(now_ms() + 2 * HOUR, "sk-test-refresh"));
        by_hand(|home, _| put(home, "p:a", &login(now_ms() + 90 * HOUR, "sk-test-refresh")))
    }),
    (FindingId::CredentialDisabled, |home| {
        let until = now_ms() + 5 * HOUR;
        let stats =
            json!({"openai:default": {"disabledUntil": until, "disabledReason": "billing"}});
        edit_store(home, move |store| store["usageStats"] = stats);
        by_hand(|home, fix| {
            assert_eq!(fix, "Top up credits (provider billing) or switch provider.");
            home.run(&["models", "auth", "mark", "openai:default", "--clear"])
                .ok();
        })
    }),
    (FindingId::CredentialCooldown, |home| {
        home.run(&[
            "models",
            "auth",
            "mark",
            "openai:default",
            "--failed",
            "rate_limit",
        ])
        .ok();
        by_hand(|home, fix| {
            assert_eq!(fix, "Wait for cooldown or switch provider.");
            home.run(&["models", "auth", "mark", "openai:default", "--clear"])
                .ok();
        })
    }),
    (FindingId::CredentialUnused, |home| {
        put_at(home, "old:one", now_ms() - 100 * 24 * HOUR);
        by_hand(|home, fix| {
            let command = fix.split(": ").last().unwrap();
            assert_eq!(command, "clawkeep rm old:one");
            home.run(&["token", "old:one"]).ok();
        })
    }),
    (FindingId::ConfigUnreadable, |home| {
        home.write(CONFIG, "{ auth: ");
        by_hand(|home, _| home.write(CONFIG, "{ auth: {} }"))
    }),
    (FindingId::ConfigSettings, |home| {
        home.write(".clawdbot/clawkeep.toml", "clawkeep.retentoin = '9d'");
        by_hand(|home, _| home.write(".clawdbot/clawkeep.toml", "clawkeep.retention = '9d'"))
    }),
    (FindingId::ConfigLegacyDefault, |home| {
        put(
            home,
            "anthropic:me@x.y",
            &json!({
                "type": "oauth", "provider": "anthropic", "access": "sk-test-a",
                "refresh": "sk-test-r",
                "expires": now_ms() + 90 * HOUR, "email": "me@x.y",
            }),
        );
        home.write(
            CONFIG,
            "{ // mine\n auth: { profiles: { 'anthropic:default': { provider: \
            'anthropic', mode: 'oauth' } },\n order: { anthropic: ['anthropic:default', \
            'anthropic:claude-cli'] } } }",
        );
        Mend::Repair
    }),
    (FindingId::ConfigKept, |home| {
        home.write(CONFIG, "{}");
        home.write(&format!("{CONFIG}.clawkeep-before-20261129T160000Z"), "{}");
        by_hand(|home, fix| run_fix(home, fix.split(": ").last().unwrap()))
    }),
    (FindingId::ConfigMissing, |home| {
        home.write(
            CONFIG,
            "{auth: {profiles: {'p:gone': {provider: 'p', mode: 'api_key'}}}}",
        );
        by_hand(|home, fix| {
            assert!(fix.contains("paste-api-key"), "{fix}");
            let command = fix.split("  # ").next().unwrap();
            paste(home, command.rsplit("run: ").next().unwrap());
        })
    }),
    (FindingId::ConfigOrder, |home| {
        home.write(
            CONFIG,
            "{auth: {order: {openai: ['openai:gone', 'openai:default']}}}",
        );
        by_hand(|home, _| home.write(CONFIG, "{auth: {order: {openai: ['openai:default']}}}"))
    }),
    (FindingId::StoreOrder, |home| {
        let order = json!({"openai": ["openai:gone", "openai:default"]});
        edit_store(home, move |store| store["order"] = order);
        by_hand(run_fix)
    }),
    (FindingId::ConfigAgent, |home| {
        home.write(SETTINGS, "[agents.mian]\nexport = \"off\"\n");
        by_hand(|home, _| home.write(SETTINGS, "[agents.main]\nexport = \"file\"\n"))
    }),
    #[cfg(unix)]
    (FindingId::FootprintOpen, |home| {
        fs::copy(home.at(STORE), home.at(AGENT).join("auth-profiles.json~")).unwrap();
        chmod(&home.at(AGENT).join("auth-profiles.json~"), 0o644);
        Mend::Repair
    }),
    (FindingId::FootprintCopy, |home| {
        home.write(
            &format!("{AGENT}/.auth-profiles.json.swp"),
            "b0VIM \0\0 \"sk-test-openai\",\0",
        );
        home.write(".clawdbot/auth-profiles.json.bak", home.read(STORE));
        by_hand(|home, _| {
            fs::remove_file(home.at(AGENT).join(".auth-profiles.json.swp")).unwrap();
            fs::remove_file(home.at(".clawdbot/auth-profiles.json.bak")).unwrap();
        })
    }),
    #[cfg(unix)]
    (FindingId::FootprintStore, |home| {
        fs::create_dir_all(home.at(OPS)).unwrap();
        chmod(&home.at(OPS), 0o700);
        chmod(home.at(OPS).parent().unwrap(), 0o700);
        symlink(home.at(STORE), home.at(OPS).join("auth-profiles.json")).unwrap();
        home.write(SETTINGS, "[agents.main]\nexport = \"off\"\n");
        by_hand(|home, fix| {
            assert!(fix.contains("for agent ops"), "{fix}");
            home.write(SETTINGS, "clawkeep.export = \"off\"\n");
        })
    }),
    #[cfg(unix)]
    (FindingId::FootprintRuntime, |home| {
        // On a disk, wherever the home is.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        symlink(dir.path(), home.at(RUNTIME)).unwrap();
        home.write(SETTINGS, "clawkeep.export = \"runtime\"\n");
        home.run(&["sync"]).ok();
        by_hand(move |home, _| {
            home.write(SETTINGS, "clawkeep.export = \"file\"\n");
            home.run(&["sync"]).ok();
            drop(dir);
        })
    }),
    (FindingId::FootprintLeftover, |home| {
        home.write(CONFIG, "{}");
        let left = home.at(CONFIG).with_extension("json.clawkeep-draft");
        fs::write(&left, "{models: 'sk-test-x'}").unwrap();
        chmod(&left, 0o600);
        set_modified(&left, SystemTime::now() - Duration::from_secs(3600));
        Mend::Repair
    }),
    (FindingId::FootprintGit, |home| {
        fs::create_dir(home.at(".git")).unwrap();
        by_hand(|home, fix| {
            if cfg!(unix) {
                run_fix(home, fix);
                assert_eq!(home.read(".gitignore"), "auth-profiles.json\n");
            }
            // The key file too.
            home.write(".gitignore", "auth-profiles.json\n.config/\n");
        })
    }),
    (FindingId::FootprintSynced, |home| {
        fs::create_dir(home.at(".clawdbot/.stfolder")).unwrap();
        by_hand(|home, _| fs::remove_dir(home.at(".clawdbot/.stfolder")).unwrap())
    }),
    (FindingId::ClockRecord, |home| {
        append_at(home, now_ms() + 30 * HOUR);
        by_hand(|home, _| {
            home.claude_login("sk-test-claude-2", 200);
            home.run(&["sync"]).ok();
        })
    }),
    (FindingId::ClockFile, |home| {
        set_modified(
            &home.at(STORE),
            SystemTime::now() + Duration::from_secs(7200),
        );
        by_hand(|home, fix| {
            run_fix(home, fix.split("If it is right: ").last().unwrap());
        })
    }),
    (FindingId::ClockLogin, |home| {
        home.claude_login("sk-test-claude-1", -3);
        by_hand(|home, _| {
            home.claude_login("sk-test-claude-2", 200);
        })
    }),
    (FindingId::LockStale, |home| {
        let lock = home.at(STORE).with_extension("json.lock");
        fs::create_dir(&lock).unwrap();
        set_modified(&lock, SystemTime::now() - Duration::from_secs(3600));
        Mend::Repair
    }),
    (FindingId::LockUnusable, |home| {
        fs::write(home.at(STORE).with_extension("json.lock"), "no lock").unwrap();
        by_hand(|home, fix| run_fix(home, fix.split(": ").last().unwrap()))
    }),
];

/// Another program writes the store back so many times as it was before a command changed it; all
/// but the last are synced.
fn old_copies(home: &Home, rounds: usize) {
    put(home, "p:a", &token(now_ms() + 90 * HOUR));
    home.run(&["sync"]).ok();
    let memory = home.read(STORE);
    home.run(&["models", "auth", "remove", "p:a", "--yes"]).ok();
    for round in 1..=rounds {
        home.write(STORE, &memory);
        if round < rounds {
            home.run(&["sync"]).ok();
        }
    }
}

pub(super) fn token(expires: i64) -> Value {
    json!({"type": "token", "provider": "p", "token": "sk-test-token", "expires": expires})
}

pub(super) fn login(expires: i64, refresh: &str) -> Value {
    json!({"type": "oauth", "provider": "p", "access": "sk-test-access", "refresh": refresh,
        "expires": expires})
}

fn log_in_anew(home: &Home, fix: &str) {
    assert!(fix.starts_with("Log in again"), "{fix}");
    put(
        home,
        "p:a",
        &login(now_ms() + 90 * HOUR, "sk-test-refresh-new"),
    );
}

pub(super) fn older_store(token: &str) -> String {
    json!({"groq": {"type": "token", "token": token}}).to_string()
}

pub(super) fn edit_store(home: &Home, edit: impl FnOnce(&mut Value)) {
    let mut store = home.json(STORE);
    edit(&mut store);
    home.write(STORE, store.to_string());
}

pub(super) fn put(home: &Home, id: &str, entry: &Value) {
    edit_store(home, |store| store["profiles"][id] = entry.clone());
}

pub(super) fn head_file(home: &Home) -> std::path::PathBuf {
    let mut heads = fs::read_dir(home.at(".local/state/clawkeep/heads")).unwrap();
    heads.next().unwrap().unwrap().path()
}

/// Appends an event with a time of its own, as this program did while the clock was wrong.
pub(super) fn append_at(home: &Home, at: i64) {
    change_at(home, at, |tx| {
        let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep);
        tx.append(None, event).unwrap();
    });
}

/// Stores an API key in the vault as of another time.
fn put_at(home: &Home, id: &str, at: i64) {
    change_at(home, at, |tx| {
        let entry = json!({"type": "api_key", "provider": "old", "key": "sk-test-old-0123"});
        let note = ChangeNote::new(EventKind::ProfileCreated, Origin::Clawkeep);
        let (agent, id) = (AgentName::default(), ProfileId::new(id));
        tx.put_profile(&agent, &id, &entry, note).unwrap();
        tx.touch(&agent).unwrap();
    });
}

fn change_at(home: &Home, at: i64, change: impl FnOnce(&mut Tx<'_>)) {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    let sources = KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: home.at(".config/clawkeep"),
        keychain: &keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    };
    let vault = Vault::open(&home.at(VAULT)).unwrap();
    let mut vault = vault.unlock(&sources).unwrap();
    let actor = Actor::current("test");
    let mut tx = vault
        .begin(&actor, Clock::Fixed(UnixMs::from_ms(at)))
        .unwrap();
    change(&mut tx);
    tx.commit().unwrap();
}

/// Runs a printed command as a shell would.
pub(super) fn run_fix(home: &Home, fix: &str) {
    let program = home.command(&[]);
    let line = fix.replace("clawkeep ", &format!("{:?} ", program.get_program()));
    #[cfg(unix)]
    let mut shell = {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        shell
    };
    #[cfg(windows)]
    let mut shell = {
        use std::os::windows::process::CommandExt as _;
        let mut shell = Command::new("cmd");
        let line = line.replace("\\\\", "\\"); // `Debug` doubles them
        shell.raw_arg(format!("/d /s /c \"{line}\""));
        shell
    };
    shell.env_clear().current_dir(home.path());
    for (name, value) in program.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let status = shell.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{fix}");
}

/// Runs a printed `paste-…` command with a credential on stdin.
pub(super) fn paste(home: &Home, fix: &str) {
    let words: Vec<&str> = fix.strip_prefix("clawkeep ").unwrap().split(' ').collect();
    home.run_with_input(&words, "sk-test-pasted").ok();
}
