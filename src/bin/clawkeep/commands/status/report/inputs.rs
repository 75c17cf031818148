//! The inputs of the status report.

use std::collections::BTreeMap;

use clawkeep::internal::config::{AgentRef, Env, Layout, Settings};
use clawkeep::internal::domain::{Borrowed, Credential, StoreDoc};
use clawkeep::internal::health::AsOf;
use clawkeep::internal::sync::LoginReport;
use clawkeep::internal::vault::{Damage, GrantState};

pub(crate) struct Inputs<'a> {
    pub(crate) doc: &'a StoreDoc,
    /// The entries that the store lacks because their rows are damaged.
    pub(crate) damage: &'a Damage,
    pub(crate) settings: &'a Settings,
    pub(crate) env: &'a Env,
    pub(crate) layout: &'a Layout,
    pub(crate) agent: &'a AgentRef,
    /// The profiles whose grant is uncertain, dead or used up.
    pub(crate) grants: &'a BTreeMap<String, GrantState>,
    /// The profiles imported as another program's; none where the gateway's own report is wanted.
    pub(crate) borrowed: &'a BTreeMap<String, Borrowed>,
    /// The states of other programs' logins; `None` for a report under the reference's name.
    pub(crate) logins: Option<&'a [LoginReport]>,
    /// The time that expiry is measured at, and what counts as expiring.
    pub(crate) as_of: AsOf,
}

pub(crate) type Profile<'a> = (&'a str, Credential<'a>);
