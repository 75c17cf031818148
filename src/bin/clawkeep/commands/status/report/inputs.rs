//! What the report is drawn up from.

use std::collections::BTreeMap;

use clawkeep::config::{AgentRef, Env, Layout, Settings};
use clawkeep::domain::{Borrowed, Credential, StoreDoc, UnixMs};
use clawkeep::sync::LoginReport;
use clawkeep::vault::{Damage, GrantState};

/// What the report is about.
pub(crate) struct Inputs<'a> {
    /// The agent's store.
    pub(crate) doc: &'a StoreDoc,
    /// What it lacks, since rows are damaged.
    pub(crate) damage: &'a Damage,
    /// The gateway's configuration.
    pub(crate) settings: &'a Settings,
    /// The environment.
    pub(crate) env: &'a Env,
    /// Where things are.
    pub(crate) layout: &'a Layout,
    /// The agent.
    pub(crate) agent: &'a AgentRef,
    /// The profiles whose grant is uncertain, dead or spent.
    pub(crate) grants: &'a BTreeMap<String, GrantState>,
    /// The profiles that were imported as another program's; none where the gateway's own report is
    /// wanted.
    pub(crate) borrowed: &'a BTreeMap<String, Borrowed>,
    /// What became of other programs' logins; `None` where the report is to be the reference's.
    pub(crate) logins: Option<&'a [LoginReport]>,
    /// The time that expiry is measured at.
    pub(crate) now: UnixMs,
}

/// A stored profile's id and credential.
pub(crate) type Profile<'a> = (&'a str, Credential<'a>);
