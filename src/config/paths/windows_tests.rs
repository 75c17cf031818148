use super::*;
use crate::config::openclaw::named_dirs;

fn env() -> Env {
    let pairs = [("HOME", r"D:\cygwin"), ("USERPROFILE", r"C:\Users\ana")];
    Env::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn layout(is_stand_in: bool) -> Layout {
    let overrides = Overrides {
        is_stand_in,
        ..Overrides::default()
    };
    Layout::resolve(&env(), &overrides, Path::new(r"C:\work")).unwrap()
}

#[test]
fn the_home_directory_is_nodes() {
    let layout = layout(false);
    assert_eq!(layout.home, Path::new(r"C:\Users\ana"));
    assert_eq!(
        layout.logins[0].login,
        Path::new(r"C:\Users\ana\.claude\.credentials.json")
    );
    assert_eq!(
        layout.logins[1].login,
        Path::new(r"C:\Users\ana\.codex\auth.json")
    );
    // OpenClaw alone takes HOME.
    let openclaws = [r"D:\cygwin\.openclaw", r"C:\Users\ana\.openclaw"];
    assert_eq!(named_dirs(&layout, &env()), openclaws.map(PathBuf::from));
    let account = Env::default().with_account_home(Some(r"C:\Users\bob".into()));
    let of_account = Layout::resolve(&account, &Overrides::default(), Path::new(r"C:\"));
    assert_eq!(of_account.unwrap().home, Path::new(r"C:\Users\bob"));
    let error = PathError::RelativeHome("ana".into()).to_string();
    assert!(error.starts_with("USERPROFILE is `ana`"), "{error}");
}

#[test]
fn a_path_is_shown_whole_unless_the_gateway_would_shorten_it() {
    let path = Path::new(r"C:\Users\ana\.clawdbot\x");
    let shown = layout(false).shorten_home(path);
    assert_eq!(shown, r"C:\Users\ana\.clawdbot\x");
    assert_eq!(layout(true).shorten_home(path), r"~\.clawdbot\x");
}
