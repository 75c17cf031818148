//! Where things are and what the gateway is configured to do: the environment as the binary passes
//! it in, paths, agents, and the gateway's JSON5 configuration.
//!
//! Nothing here asks the process for its environment, working directory or clock. The disk is read
//! in one place, `disk`. What is written is the configuration alone, by `edit`.

mod agents;
mod completed_env;
#[cfg(feature = "cli")]
mod connection;
mod disk;
mod dotenv;
mod edit;
mod env;
mod error;
mod login_files;
mod models;
mod nesting;
mod notify;
pub mod openclaw;
mod own;
mod own_edit;
mod paths;
mod program_dirs;
mod provider_settings;
mod session_bus;
mod settings;
mod shell_env;
mod trusted;
mod variable_name;
mod variable_provider;
mod vault_home;
mod windows_names;

pub use self::notify::{
    Address, BodyFormat, Channel, NotifySettings, NotifyTarget, Rhythm, TARGETS, Web,
    checked_address,
};
pub use agents::{AgentRef, existing_agents, openclaw_agents, order_agent, status_agent};
pub use completed_env::EnvFault;
#[cfg(feature = "cli")]
pub use connection::{
    CONNECTIONS, Connection, Edited, KeyCommand, SettingsFault, openclaw as openclaw_keys,
};
pub use disk::DRAFT;
pub use disk::KEPT;
pub use dotenv::parse as dotenv_lines;
#[cfg(any(test, fuzzing))]
pub(crate) use edit::edited;
pub use edit::{ConfigChange, ConfigEdit, edit_config, edit_config_keeping};
pub use env::{
    Env, ProviderVariable, provider_variable, provider_variables, providers_with_variables,
};
pub use error::ConfigError;
pub use error::{ConfigEditError, OwnSettingsError};
pub use login_files::LoginFiles;
pub use models::{ListedModel, ModelChoice, ModelRef, Models};
pub use own::{
    ExportMode, Fallback, NotifyFault, OwnSettings, SETTINGS_MAX, built_in_providers,
    parse_providers,
};
pub use own_edit::{
    OWN_DEFAULTS, is_own_setting, list_own_settings, own_setting, with_own_setting,
    without_own_setting,
};
pub use paths::{HOME_VARIABLE, Layout, Overrides, PathError, TRUSTED_VARIABLE};
pub use provider_settings::{Encoding, ProviderSettings};
pub use session_bus::{keychain_bus, session_bus};
pub(crate) use settings::parse_value;
pub use settings::{AgentSetting, ProfileSetting, ProviderOrder, Settings};
#[cfg(any(test, fuzzing))]
pub(crate) use shell_env::expected_in;
pub use shell_env::{ShellEnv, ShellFault};
pub use trusted::trust_of;
pub use variable_name::check_variable_name;
pub use variable_provider::provider_of_variable;
