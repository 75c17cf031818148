//! How long a credential that was refused is left alone.

use std::collections::BTreeMap;

use super::ids::ProviderId;

/// The length of cooldowns after failures: `auth.cooldowns` of the configuration. The defaults are
/// the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct CooldownRules {
    /// The first rest after a failure for want of money, in hours; doubled with each further one.
    pub billing_backoff_hours: f64,
    /// The same for single providers.
    pub billing_backoff_hours_by_provider: BTreeMap<ProviderId, f64>,
    /// The longest rest for want of money, in hours.
    pub billing_max_hours: f64,
    /// Failures longer ago than this, in hours, are forgotten at the next one.
    pub failure_window_hours: f64,
}

impl Default for CooldownRules {
    fn default() -> Self {
        Self {
            billing_backoff_hours: 5.0,
            billing_backoff_hours_by_provider: BTreeMap::new(),
            billing_max_hours: 24.0,
            failure_window_hours: 24.0,
        }
    }
}
