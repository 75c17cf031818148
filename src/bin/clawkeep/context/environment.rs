//! What the environment and the flags say of a run: who is trusted, the keychain, the passphrase.

use std::io::IsTerminal as _;

use clawkeep::internal::config::{
    Env, HOME_VARIABLE, Layout, OwnSettings, TRUSTED_VARIABLE, keychain_bus, trust_of,
};
use clawkeep::internal::platform::keychain::{DEADLINE, KEYCHAIN_VARIABLE, SystemKeychain};

use super::global::Global;
use super::passphrase::Named;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;

/// Installs the policy on trusted users before any file is used. If the settings cannot be used,
/// what needs them reports it.
pub(super) fn install_trust(env: &Env, layout: &Layout) -> Result<Option<OwnSettings>, Failure> {
    let Some((trust, own)) = trust_of(env, layout) else {
        let example = match cfg!(windows) {
            true => "sid:S-1-5-21-1-2-3-1001",
            false => "uid:1000,gid:2000",
        };
        let what = format!("{TRUSTED_VARIABLE} is a list such as {example}");
        return Err(Failure::BadArgument(what));
    };
    trust.install();
    Ok(own)
}

/// The source of the passphrase that was named for this command.
pub(super) fn named_passphrase(global: &Global) -> Option<Named> {
    let file = global.passphrase_file.clone().map(Named::File);
    file.or(global.passphrase_fd.map(Named::Descriptor))
}

/// This process's environment and the home directory that Node uses if no variable names one: the
/// user database's.
pub(super) fn environment() -> Env {
    let env = Env::of_process(std::env::vars_os()).of_stand_in(is_called_as_gateway());
    if env.path(HOME_VARIABLE).is_some() {
        return env; // a directory service may be slow
    }
    env.with_account_home(std::env::home_dir())
}

/// The keychain. A person who sees this program's output can answer a dialog.
pub(super) fn keychain(env: &Env) -> SystemKeychain {
    SystemKeychain::new(DEADLINE, keychain_bus(env)).attended(std::io::stderr().is_terminal())
}

/// Parses the variable; a misspelt value must not leave the keychain in use.
pub(super) fn check_keychain_variable(env: &Env) -> Result<(), Failure> {
    match env.raw(KEYCHAIN_VARIABLE) {
        None => Ok(()),
        Some(value) if value == "off" => Ok(()),
        Some(_) => {
            let what = format!("{KEYCHAIN_VARIABLE} is off, or not set");
            Err(Failure::BadArgument(what))
        }
    }
}
