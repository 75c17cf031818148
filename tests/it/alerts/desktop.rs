//! Notifications of the desktop, on a real session bus.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use zbus::blocking::connection;
use zbus::zvariant::OwnedValue;

use super::{SessionBus, Watch};
#[cfg(unix)]
use crate::support::secret_service::{Prompts, Session};

/// What was shown: summary, body, urgency.
type Shown = Arc<Mutex<Vec<(String, String, u8)>>>;

struct Notifications(Shown);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    fn get_capabilities(&self) -> Vec<String> {
        vec!["body".to_owned(), "body-markup".to_owned()]
    }

    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "the specification's"
    )]
    fn notify(
        &self,
        _app: String,
        _replaces: u32,
        _icon: String,
        summary: String,
        body: String,
        _actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let urgency = u8::try_from(&hints["urgency"]).unwrap();
        self.0.lock().unwrap().push((summary, body, urgency));
        1
    }
}

/// Shows a notification in the session of the process; started by the test below.
#[test]
#[ignore = "runs in a desktop session that another test makes"]
fn in_a_desktop_session() {
    let watch = Watch::new("notify.desktop = true");
    let (alerts, _woken) = watch.alerts_on(0, SessionBus::Present);
    for (_, result) in alerts.test() {
        println!("came of it: {result:?}");
    }
}

fn shown_in(session: &Session) -> String {
    let mut child = session.command(std::env::current_exe().unwrap().to_str().unwrap());
    child.args([
        "--exact",
        "alerts::desktop::in_a_desktop_session",
        "--ignored",
        "--nocapture",
    ]);
    let output = child.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said
        .lines()
        .find_map(|line| line.split_once("came of it: "));
    line.unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

#[test]
fn a_desktop_shows_it() {
    let session = Session::without_keyring(Prompts::CannotBeShown);
    let nobody = shown_in(&session);
    assert!(nobody.contains("ServiceUnknown"), "{nobody}");
    let shown = Shown::default();
    let _serving = connection::Builder::address(session.address().as_str())
        .unwrap()
        .serve_at(
            "/org/freedesktop/Notifications",
            Notifications(Arc::clone(&shown)),
        )
        .unwrap()
        .name("org.freedesktop.Notifications")
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(shown_in(&session), "Ok(())");
    let shown = shown.lock().unwrap().clone();
    let (summary, body, urgency) = &shown[0];
    assert_eq!((summary.as_str(), *urgency), ("A test of clawkeep", 0));
    assert!(body.starts_with("Messages arrive here."), "{body}");
}
