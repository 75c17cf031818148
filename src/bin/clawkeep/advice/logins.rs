//! What a person does about another program's login.

use clawkeep::internal::domain::{OwnLogin, Owner, of_agent, shell_quoted};
use clawkeep::internal::sources::{KeychainFault, SourceFault};
use clawkeep::internal::sync::{LoginReport, LoginState};

/// What a person does about a login of another program; one command where there is one.
#[must_use]
pub(crate) fn login_remedy(report: &LoginReport) -> String {
    let log_in = Owner::of(report.profile).log_in();
    let agent = of_agent(&report.agent);
    let profile = report.profile;
    let place = &report.place;
    let two = || {
        format!(
            "Use it instead: clawkeep models auth adopt {profile}{agent}. Keep the stored \
             one: clawkeep models auth keep {profile}{agent}"
        )
    };
    match &report.state {
        LoginState::Usable => String::new(),
        LoginState::LoggedOut { .. } => format!(
            "Log in again: {log_in}. Keep the stored login on purpose: clawkeep models auth \
             keep {profile}{agent}"
        ),
        LoginState::OddExpiry(_) => format!("Log in again: {log_in}"),
        LoginState::OtherAccount | LoginState::OtherPlace if report.is_elsewhere => {
            let mirror = Owner::of(profile).mirror();
            let variable = mirror.map_or("its variable", |mirror| mirror.variable);
            format!(
                "Keep the stored one: clawkeep models auth keep {profile}{agent}. To use the \
                 other one, set {variable} to its directory and run: clawkeep models auth \
                 adopt {profile}{agent}"
            )
        }
        LoginState::OtherAccount | LoginState::OtherPlace | LoginState::EarlierExpiry => two(),
        LoginState::AccountChanged { .. } => format!(
            "If that is right: clawkeep models auth keep {profile}{agent}. Otherwise log in \
             with the other account: {log_in}"
        ),
        LoginState::NotReadable(fault) => fault_remedy(place, fault, log_in),
        LoginState::ApiKeyMode => format!(
            "Import the key: clawkeep import{agent} {}",
            shell_quoted(place)
        ),
        LoginState::InKeyring => format!(
            "Let Codex write its file: set cli_auth_credentials_store = \"file\" in its \
             config.toml, then run: {log_in}"
        ),
        LoginState::NoRefreshToken => format!("Log in again: {log_in}"),
        LoginState::NoLogin => format!("Log in: {log_in}"),
    }
}

/// The command that makes a login of clawkeep's own beside that program's; empty if none is known.
#[must_use]
pub(crate) fn own_login(owner: Owner) -> String {
    let mirror = owner.mirror();
    mirror.map_or_else(String::new, |mirror| match mirror.own_login {
        OwnLogin::SetupToken => "clawkeep models auth setup-token".to_owned(),
        OwnLogin::Browser => {
            format!("clawkeep models auth login --provider {}", mirror.provider)
        }
    })
}

/// What a person does about a source that cannot be read.
#[must_use]
pub(crate) fn fault_remedy(place: &str, fault: &SourceFault, log_in: &str) -> String {
    match fault {
        SourceFault::Untrusted(refusal) => refusal.remedy(),
        SourceFault::Unreadable(std::io::ErrorKind::IsADirectory) => format!(
            "A container that mounts a missing file makes such a directory. Stop it, then: rmdir \
             {}; then log in: {log_in}",
            shell_quoted(place)
        ),
        SourceFault::Unreadable(std::io::ErrorKind::ResourceBusy) if cfg!(windows) => {
            "Another program holds it open. Close that program, then: clawkeep sync".to_owned()
        }
        SourceFault::Unreadable(std::io::ErrorKind::PermissionDenied) if cfg!(windows) => {
            format!("See who may use it: icacls {}", shell_quoted(place))
        }
        SourceFault::Unreadable(std::io::ErrorKind::PermissionDenied) => format!(
            "Make it yours: sudo chown \"$(id -u)\" {0} && chmod 600 {0}",
            shell_quoted(place)
        ),
        SourceFault::Keychain(KeychainFault::Locked) => {
            "Unlock the keychain for this session, then sync: security unlock-keychain && \
             clawkeep sync"
                .to_owned()
        }
        SourceFault::Keychain(KeychainFault::Refused | KeychainFault::TimedOut) => {
            "Run this in Terminal on the Mac itself, and choose \"Always Allow\" in the keychain's \
             dialog: clawkeep sync"
                .to_owned()
        }
        _ => "Log in again with the program it belongs to, then: clawkeep sync".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keychain_that_does_not_answer_has_a_remedy_of_its_own() {
        let remedy = |fault| fault_remedy("/f", &SourceFault::Keychain(fault), "claude auth login");
        let unlock = "security unlock-keychain && clawkeep sync";
        assert!(remedy(KeychainFault::Locked).ends_with(unlock));
        for fault in [KeychainFault::Refused, KeychainFault::TimedOut] {
            assert!(remedy(fault).contains("Always Allow"), "{fault}");
        }
        assert!(remedy(KeychainFault::NotText).starts_with("Log in again"));
    }
}
