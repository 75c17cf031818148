//! Rules for where the vault, its settings and the gateway's files are.

use super::*;

const VAULT: VaultId = VaultId([0xab; 16]);

/// A path as this system has it: an absolute one of Windows has a drive.
fn at(path: &str) -> PathBuf {
    if cfg!(windows) && path.starts_with('/') {
        return format!("C:{path}").into();
    }
    path.into()
}

/// The variables, `HOME` by its name on this system. Values are paths as [`at`] takes them.
fn env(pairs: &[(&str, &str)]) -> Env {
    let value = |path: &str| at(path).into_os_string();
    Env::from_pairs(pairs.iter().map(|(name, path)| {
        let name = match *name {
            "HOME" if cfg!(windows) => "USERPROFILE",
            name => name,
        };
        (name.into(), value(path))
    }))
}

fn resolve(env: &Env) -> Result<Layout, PathError> {
    Layout::resolve(env, &Overrides::default(), &at("/work"))
}

fn layout(pairs: &[(&str, &str)]) -> Layout {
    layout_with(pairs, &Overrides::default())
}

fn layout_with(pairs: &[(&str, &str)], overrides: &Overrides) -> Layout {
    let pairs = [&[("HOME", "/home/ana")][..], pairs].concat();
    Layout::resolve(&env(&pairs), overrides, &at("/work")).unwrap()
}

#[test]
fn defaults_lie_under_home() {
    let layout = layout(&[
        ("CLAWDBOT_STATE_DIR", " "),
        ("XDG_CONFIG_HOME", "relative"),
        ("CODEX_HOME", ""),
    ]);
    let data = at("/home/ana/.local/share/clawkeep");
    assert_eq!(layout.state_dir, data);
    assert_eq!(layout.config_file, data.join("clawdbot.json"));
    assert_eq!(layout.vault_file, data.join("vault.db"));
    assert_eq!(layout.settings_file, data.join("clawkeep.toml"));
    assert_eq!(layout.oauth_file(), data.join("credentials/oauth.json"));
    let [claude, codex, ..] = &layout.logins[..] else {
        panic!("{:?}", layout.logins)
    };
    assert_eq!(claude.login, at("/home/ana/.claude/.credentials.json"));
    assert_eq!(claude.account, Some(at("/home/ana/.claude.json")));
    assert_eq!(codex.login, at("/home/ana/.codex/auth.json"));
    let id = "ab".repeat(16);
    assert_eq!(layout.key_file_dir(), at("/home/ana/.config/clawkeep"));
    assert_eq!(layout.named_key_file(), None);
    assert_eq!(layout.credential_key_file(), None);
    assert_eq!(
        layout.head_file(VAULT),
        at(&format!("/home/ana/.local/state/clawkeep/heads/{id}"))
    );
}

#[test]
fn the_command_line_beats_the_environment_and_tilde_is_home() {
    let pairs = [
        ("CLAWDBOT_STATE_DIR", "~/one/../two/"),
        ("CLAWDIS_STATE_DIR", "/other"),
        ("CLAWKEEP_VAULT", "v.db"),
    ];
    let from_env = layout(&pairs);
    assert_eq!(from_env.state_dir, at("/home/ana/two"));
    assert_eq!(from_env.vault_file, at("/work/v.db"));
    let overrides = Overrides {
        state_dir: Some("state".into()),
        vault: Some("~/v".into()),
        ..Overrides::default()
    };
    let from_flags = layout_with(&pairs, &overrides);
    assert_eq!(from_flags.state_dir, at("/work/state"));
    assert_eq!(from_flags.vault_file, at("/home/ana/v"));
    let found = layout(&[("CLAWDIS_STATE_DIR", "/other")]).state_dir;
    assert_eq!(found, at("/other"));
}

#[test]
fn space_around_a_path_is_part_of_it_under_our_own_name() {
    let pairs = [
        ("HOME", "/home/ana "),
        ("CLAWDBOT_STATE_DIR", "/s "),
        ("CLAWKEEP_VAULT", "/v "),
        ("CLAWKEEP_KEY_FILE", "/k "),
    ];
    // Windows makes no name that ends in a blank: there it is the name without.
    let of_system = |path: &str| match cfg!(windows) {
        true => at(path.trim_end()),
        false => at(path),
    };
    for (is_stand_in, state_dir) in [(false, "/s "), (true, "/s")] {
        let layout = resolve(&env(&pairs).of_stand_in(is_stand_in)).unwrap();
        assert_eq!(layout.home, at("/home/ana "));
        assert_eq!(layout.state_dir, of_system(state_dir));
        assert_eq!(layout.vault_file, of_system("/v "));
        assert_eq!(layout.named_key_file(), Some(&*of_system("/k ")));
    }
}

#[test]
fn key_files_lie_where_they_are_named() {
    let layout = layout(&[
        ("CREDENTIALS_DIRECTORY", "/run/c"),
        ("CLAWKEEP_KEY_FILE", "~/k"),
        ("XDG_CONFIG_HOME", "/x"),
    ]);
    assert_eq!(layout.named_key_file(), Some(&*at("/home/ana/k")));
    let found = layout.credential_key_file();
    assert_eq!(found, Some(at("/run/c/clawkeep.key")));
    assert_eq!(layout.key_file_dir(), at("/x/clawkeep"));
}

#[test]
fn variables_that_say_something_of_their_own_are_handed_on() {
    let pairs = [
        ("CLAWDBOT_STATE_DIR", "~/.clawdbot"),
        ("CLAWDIS_STATE_DIR", "/not/looked/at"),
        ("CLAWKEEP_VAULT", "v.db"),
        ("CLAWDBOT_AGENT_DIR", ""),
        ("PI_CODING_AGENT_DIR", "~/pi"),
        ("OPENCLAW_STATE_DIR", "~/claw"),
        ("CODEX_HOME", "/home/ana/.codex"),
        ("CLAUDE_CONFIG_DIR", "/home/ana/.claude"),
        ("XDG_CONFIG_HOME", "relative"),
        ("XDG_STATE_HOME", "/s"),
        ("XDG_DATA_HOME", "/d"),
        ("OPENAI_API_KEY", "sk-secret"),
    ];
    let handed = layout(&pairs).variables(&env(&pairs));
    let expected = [
        ("CLAWDBOT_STATE_DIR", "/home/ana/.clawdbot"),
        ("PI_CODING_AGENT_DIR", "/home/ana/pi"),
        ("CLAWKEEP_VAULT", "/work/v.db"),
        ("OPENCLAW_STATE_DIR", "/home/ana/claw"),
        ("CODEX_HOME", "/home/ana/.codex"),
        ("CLAUDE_CONFIG_DIR", "/home/ana/.claude"),
        ("XDG_STATE_HOME", "/s"),
        ("XDG_DATA_HOME", "/d"),
    ];
    assert_eq!(handed, expected.map(|(name, path)| (name, at(path))));
}

#[cfg(unix)] // the tilde
#[test]
fn home_is_written_as_a_tilde_only_where_it_is_home() {
    let layout = layout(&[]);
    for (path, want) in [
        ("/home/ana", "~"),
        ("/home/ana/a/b", "~/a/b"),
        ("/home/anabel/a", "/home/anabel/a"),
    ] {
        assert_eq!(layout.shorten_home(&at(path)), want);
    }
}

#[test]
fn without_a_home_the_error_says_what_to_do() {
    assert_eq!(resolve(&Env::default()), Err(PathError::NoHome));
    assert!(
        PathError::NoHome
            .to_string()
            .contains(" to a directory of yours")
    );
    let homeless = |account: &str| Env::default().with_account_home(Some(at(account)));
    let of_account = resolve(&homeless("/home/ana")).unwrap();
    assert_eq!(
        (of_account.home, of_account.has_home),
        (at("/home/ana"), true)
    );
    for none in ["", "ana"] {
        assert_eq!(resolve(&homeless(none)), Err(PathError::NoHome), "{none:?}");
    }
    let found = resolve(&env(&[("HOME", "ana")]));
    assert_eq!(found, Err(PathError::RelativeHome("ana".into())));
    // A state directory that is named stands in for it; one that is in the home directory cannot.
    let named = |dir: &str| resolve(&env(&[("CLAWDBOT_STATE_DIR", dir)]));
    let layout = named("data").unwrap();
    assert_eq!(
        (layout.has_home, &*layout.home),
        (false, &*at("/work/data"))
    );
    assert_eq!(layout.key_file_dir(), at("/work/data/.config/clawkeep"));
    assert_eq!(named("~/data"), Err(PathError::NoHome));
}
