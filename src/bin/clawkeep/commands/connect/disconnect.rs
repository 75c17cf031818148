//! `disconnect`: puts a program's settings back as they were before it was connected.

use clap::Args;
use clawkeep::internal::config::{Connection, Edited, SettingsFault};
use clawkeep::internal::platform::exists;
use serde_json::json;
use zeroize::Zeroizing;

use super::consent::confirm;
use super::kept::{self, Kept};
use super::settings::{Connectable, Settings, damaged, find, name};
use super::{openclaw, show};
use crate::context::Context;
use crate::failure::Failure;

/// Undo `clawkeep connect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep disconnect codex\n\nIf the settings have not changed since \
        clawkeep connect, they become byte for byte what they were. Otherwise only what connect \
        put there is taken out."
)]
pub(crate) struct Disconnect {
    /// The program, as clawkeep connect lists it
    #[arg(value_name = "PROGRAM")]
    program: String,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl Disconnect {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let connection = match find(&self.program)? {
            Connectable::OpenClaw => return openclaw::undo::disconnect(context, self.yes),
            Connectable::Settings(connection) => connection,
        };
        let owner = connection.owner;
        let vault = context.unlocked_to_read()?;
        let kept = kept::read(context, &vault, owner)?.and_then(|copy| Kept::from_json(&copy));
        let settings = Settings::read(Settings::path(context, connection))?;
        let is_unchanged = kept.as_ref().is_some_and(|kept| {
            settings
                .bytes
                .as_ref()
                .is_some_and(|bytes| *bytes == kept.after)
        });
        let fault = |fault: SettingsFault| damaged(&settings.path, &fault.to_string());
        if (connection.command)(settings.text()?)
            .map_err(fault)?
            .is_none()
        {
            let what = format!("{} is not connected: nothing to undo\n", owner.program());
            let answer = json!({"program": name(owner), "disconnected": false});
            return context.ui.done(&what, &answer);
        }
        let copy = kept::file(context, owner);
        let is_lost = kept.is_none() && exists(&copy);
        if is_lost {
            context.ui.warn(&format!(
                "Warning: {}, the copy of the settings from before, does not open with this \
                 vault's key. What clawkeep connect replaced does not come back; the copy stays.",
                context.layout.shorten_home(&copy)
            ));
        }
        let taken_out = taken_out(connection, &settings, kept.as_ref()).map_err(fault)?;
        show(context, &settings, &taken_out);
        confirm(self.yes, &format!("Disconnect {}?", owner.program()))?;
        let (bytes, how) = match kept.filter(|_| is_unchanged) {
            Some(kept) => (kept.before, "its settings are what they were"),
            None => {
                let bytes = Zeroizing::new(taken_out.text.as_bytes().to_vec());
                (Some(bytes), "the rest of its settings stays")
            }
        };
        settings.replace(bytes.as_ref().map(|bytes| bytes.as_slice()))?;
        if !is_lost {
            kept::forget(context, owner)?;
        }
        let text = format!("{} is disconnected; {how}\n", owner.program());
        let answer = json!({"program": name(owner), "disconnected": true});
        context.ui.done(&text, &answer)
    }
}

fn taken_out(
    connection: &Connection,
    settings: &Settings,
    kept: Option<&Kept>,
) -> Result<Edited, SettingsFault> {
    let text = String::from_utf8_lossy(settings.bytes.as_ref().map_or(&[], |bytes| bytes));
    let previous = kept.and_then(|kept| kept.previous.as_deref());
    (connection.disconnect)(&text, previous)
}
