//! Alerts: each problem is reported once, with reminders while it lasts, and when it is over.
//!
//! [`survey()`] finds the status of each credential, [`SurveyedCredential::state`] the state that an
//! alert reports, if any, and [`decide()`] the messages that are due after the earlier ones. All of
//! that is pure except the survey. The record has the earlier messages: [`Alerts`] reads them
//! there, delivers the messages that are due on threads of its own, and records the results.

mod decide;
mod deliver;
mod dispatch;
mod heartbeat;
mod history;
mod message;
mod phrases;
mod reason;
mod sending;
mod subject;
mod survey;
mod surveyed;
mod text;

#[cfg(test)]
mod sequence_tests;

pub use decide::{Decision, Facts, decide};
pub use deliver::{DELIVERY_MAX, Undelivered};
pub use dispatch::{Alerts, Means};
pub use history::{Entry, Failed, SubjectHistory, TargetHistory};
pub use message::{Message, Severity};
pub use reason::MessageReason;
pub use subject::{Subject, Trouble};
pub use survey::{Problem, Remedy, Scene, Survey, survey};
pub use surveyed::{SourceTrouble, State, SurveyedCredential};
