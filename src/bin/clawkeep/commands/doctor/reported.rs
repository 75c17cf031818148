//! A finding as it is reported, and its fix in words.

use crate::advice::shell_path;
use crate::doctor::{Finding, Fix, Repair};
use clawkeep::internal::domain::{REMOVE_COMMAND, path_text};
use clawkeep::internal::platform::removal_command;
use serde_json::{Map, Value, json};

use crate::context::Context;

#[derive(Debug)]
pub(crate) struct ReportedFinding {
    pub(super) finding: Finding,
    pub(super) repaired: bool,
    /// The repair's changes, one line each.
    pub(super) difference: Vec<String>,
}

impl ReportedFinding {
    pub(super) fn to_json(&self, context: &Context) -> Value {
        let finding = &self.finding;
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
        put("id", json!(finding.id.as_str()));
        put("level", json!(finding.id.level().as_str()));
        if let Some(agent) = &finding.agent {
            put("agent", json!(agent.as_str()));
        }
        if let Some(profile) = &finding.profile {
            put("profile", json!(profile.as_str()));
        }
        if let Some(path) = &finding.path {
            put("path", json!(path_text(path)));
        }
        put("message", json!(finding.message));
        if let Some(fix) = &finding.fix {
            put("fix", json!(fix_text(context, fix)));
        }
        put("repairable", json!(finding.offered().is_some()));
        put("repaired", json!(self.repaired));
        if !self.difference.is_empty() {
            put("difference", json!(self.difference));
        }
        Value::Object(fields)
    }
}

pub(crate) fn fix_text(context: &Context, fix: &Fix) -> String {
    let shown = |path| shell_path(&context.layout, path);
    match fix {
        Fix::Advice(advice) => advice.clone(),
        Fix::Repair(Repair::Chmod { path, mode }) => format!("chmod {mode:o} {}", shown(path)),
        Fix::Repair(Repair::RemoveStaleLock { store, .. }) => {
            let lock = clawkeep::internal::platform::LockDir::path_for(store);
            format!("{} {}", removal_command(&lock), shown(&lock))
        }
        Fix::Repair(Repair::MoveVault { to, .. }) => {
            format!("move the vault and its settings to {}", shown(to))
        }
        Fix::Repair(Repair::MergeVault { from, into }) => format!(
            "import what {} has into {}, and set the former aside",
            shown(from),
            shown(into)
        ),
        Fix::Repair(
            Repair::RemoveLeftover { path, .. }
            | Repair::RemoveLeftVault { path, .. }
            | Repair::RemoveOpenClawCopy { site: path },
        ) => format!("{REMOVE_COMMAND} {}", shown(path)),
        Fix::Repair(Repair::RenameConfigProfile { path, from, to, .. }) => format!(
            "in auth.profiles and auth.order of {}: {to} instead of {from}",
            shown(path)
        ),
        Fix::Repair(Repair::MoveAgentDir { from, to }) => {
            format!("move what is in {} to {}", shown(from), shown(to))
        }
    }
}
