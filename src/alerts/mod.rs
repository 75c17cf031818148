//! Telling a person what is wrong while nobody looks: each state once, with reminders while it lasts, and that it is over.
//!
//! [`survey()`] says how each credential stands, [`CredentialStatus::state`] what of that is worth a word, [`decide()`] what is to be said now, given
//! what was said before. All that is pure but the looking. What was said before is in the record: [`Alerts`] reads it there, delivers
//! what is due on threads of its own, and records what came of it.

mod credential_status;
mod decide;
mod deliver;
mod dispatch;
mod history;
mod message;
mod news;
mod phrases;
mod sending;
mod subject;
mod survey;
mod text;

#[cfg(test)]
mod sequence_tests;

pub use credential_status::{CredentialStatus, GrantStatus, Loss, Refresher, SourceTrouble, State};
pub use decide::{Decision, Facts, decide};
pub use deliver::{DELIVERY_MAX, Undelivered};
pub use dispatch::{Alerts, Means};
pub use history::{Entry, Failed, SubjectHistory, TargetHistory};
pub use message::{Message, Severity};
pub use news::News;
pub use subject::{Subject, Trouble};
pub use survey::{Scene, Survey, survey};
