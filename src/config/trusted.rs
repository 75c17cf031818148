//! Which users are trusted beside this one, by the environment and the settings.

use std::path::PathBuf;

use super::env::Env;
use super::own::OwnSettings;
use super::paths::{Layout, TRUSTED_VARIABLE};
use crate::platform::{Admitted, Trust};

/// Returns the policy on trusted users: those of `CLAWKEEP_TRUSTED`, and those of `clawkeep.toml`.
/// With it come the settings, if they can be used. `None` if the variable is not valid.
#[must_use]
pub fn trust_of(env: &Env, layout: &Layout) -> Option<(Trust, Option<OwnSettings>)> {
    let entries = env.get(TRUSTED_VARIABLE).unwrap_or_default();
    let entries = entries.split([',', ' ']).filter(|entry| !entry.is_empty());
    let admitted = entries.map(Admitted::parse).collect::<Option<_>>()?;
    // If a directory only replaces the home, everything above it is checked.
    let home = match layout.has_home {
        true => layout.home.clone(),
        false => PathBuf::new(),
    };
    let trust = Trust::of_user(home, admitted).with_vault(layout.vault_file.clone());
    let own = OwnSettings::load_by(&trust, &layout.settings_file).ok();
    let by_settings = own.as_ref().map(|own| own.trusted.clone());
    let is_shared_allowed = own.as_ref().is_some_and(|own| own.allow_shared_storage);
    let trust = trust
        .admitting(by_settings.unwrap_or_default())
        .with_shared_storage(is_shared_allowed);
    Some((trust, own))
}
