//! Why a login could not be refreshed, and how to fix it, in words.

use crate::advice::{Advised, describe_loss, remedy_of_loss};
use clawkeep::internal::domain::{
    AgentName, CredentialType, Endpoint, Owner, ProviderId, StoreDoc,
};
use clawkeep::internal::health::Loss;
use clawkeep::internal::oauth::{FailureClass, Refusal};
use clawkeep::internal::sync::NotRefreshed;

use crate::context::Context;
use crate::terminal::program_name::commands;
use crate::terminal::text::{local_minute, one_line, shown_id};

/// The reason, as a clause that begins with the profile.
pub(crate) fn reason(id: &str, why: &NotRefreshed) -> String {
    let id = shown_id(id);
    match why {
        NotRefreshed::Missing => format!("there is no {id}"),
        NotRefreshed::NoRefreshToken => format!("{id} has no refresh token"),
        NotRefreshed::Borrowed(owner) => {
            format!("{id} is {}'s, which refreshes it itself", owner.program())
        }
        NotRefreshed::OwnerUnknown(owner) => {
            format!(
                "{id} is not refreshed: whether it is {}'s cannot be known, since that one's \
                 login cannot be read",
                owner.program()
            )
        }
        NotRefreshed::NewerGateway => {
            format!(
                "{id} is not refreshed: a newer gateway has it, OpenClaw, which refreshes it \
                 itself and would be left with a used-up token"
            )
        }
        NotRefreshed::GatewayUnknown(why) => format!(
            "{id} is not refreshed: whether the newer gateway, OpenClaw, has it cannot be known, \
             since {}",
            one_line(why)
        ),
        NotRefreshed::Obstacle(why) => format!("{id} could not be refreshed: {}", one_line(why)),
        NotRefreshed::FailedJustNow(class) => {
            format!(
                "another process just failed to refresh {id} ({})",
                class.as_str()
            )
        }
        NotRefreshed::NoProvider(provider) => {
            format!("{id} cannot be refreshed here: no token endpoint of {provider} is known")
        }
        NotRefreshed::NoClient(provider) => format!(
            "{id} cannot be refreshed here: the OAuth client of {provider} that it was issued to \
             is unknown"
        ),
        NotRefreshed::BadProvider(fault) => {
            format!("{id} cannot be refreshed: {}", one_line(&fault.to_string()))
        }
        NotRefreshed::EndpointChanged { pinned, now } => {
            format!("{id} is not refreshed, since {}", changed(pinned, now))
        }
        NotRefreshed::Lost(loss) => describe_loss(*loss, &id),
        NotRefreshed::Limited(until) => format!(
            "{id} is not refreshed: its provider asks clawkeep to wait until {}",
            local_minute(*until)
        ),
        NotRefreshed::Refused(refused) => {
            let times = match refused.tries {
                1 => String::new(),
                tries => format!(" ({tries} tries)"),
            };
            format!(
                "{id} could not be refreshed: {}{times}",
                answered(&refused.refusal)
            )
        }
        _ => format!("{id} could not be refreshed"),
    }
}

/// What changed in where tokens are sent.
pub(crate) fn changed(pinned: &Endpoint, now: &Endpoint) -> String {
    if pinned.origin == now.origin {
        return format!(
            "it was issued to client {}, and the settings name {}",
            shown_id(&pinned.client_id),
            shown_id(&now.client_id)
        );
    }
    format!(
        "its tokens belong to {}, and the settings name {}",
        shown_id(&pinned.origin),
        shown_id(&now.origin)
    )
}

fn answered(refusal: &Refusal) -> String {
    let means = match refusal.class {
        FailureClass::Uncertain => "; its refresh token may be used up",
        FailureClass::Misconfigured => "; the provider does not accept this client",
        _ => "",
    };
    format!("{}{means}", one_line(&refusal.explain()))
}

/// The fix, as a sentence.
pub(crate) fn fix(
    context: &Context,
    (agent, doc): (&AgentName, &StoreDoc),
    id: &str,
    why: &NotRefreshed,
) -> String {
    let settings = context.layout.shorten_home(&context.layout.settings_file);
    let of_loss = |loss| match doc.credential(id) {
        None => "Log in again.".to_owned(),
        Some(credential) => {
            let advised = Advised {
                commands: commands(),
                agent,
                id,
                credential: &credential,
                borrowed: None,
                providers: context.providers().ok(),
            };
            remedy_of_loss(loss, advised)
        }
    };
    match why {
        NotRefreshed::NoProvider(provider) => format!(
            "The gateway refreshes it when it uses it. To refresh it here, set token_url and \
             client_id in [providers.{}] of {settings}.",
            quoted(provider)
        ),
        NotRefreshed::NoClient(provider) => {
            format!(
                "Set client_id in [providers.{}] of {settings}.",
                quoted(provider)
            )
        }
        NotRefreshed::BadProvider(_) => format!("Fix it in {settings}."),
        NotRefreshed::EndpointChanged { .. } => of_loss(Loss::Moved),
        NotRefreshed::Lost(loss) => of_loss(*loss),
        NotRefreshed::Limited(until) => {
            format!("Run the command again after {}.", local_minute(*until))
        }
        NotRefreshed::Refused(refused) => match refused.refusal.class {
            FailureClass::Misconfigured => {
                let provider = doc
                    .credential(id)
                    .map(|credential| ProviderId::new(credential.provider));
                let provider =
                    provider.map_or_else(|| "…".to_owned(), |provider| quoted(&provider));
                format!("Check client_id and scopes in [providers.{provider}] of {settings}.")
            }
            FailureClass::Uncertain => "The next use tries once more.".to_owned(),
            _ => "Run the command again in a while.".to_owned(),
        },
        NotRefreshed::Borrowed(owner) if owner.mirror().is_some() => owner.how_to_log_in(),
        NotRefreshed::Borrowed(owner) => owner.how_to_refresh(),
        NotRefreshed::OwnerUnknown(owner) => {
            format!("Repair that login. {}", owner.how_to_log_in())
        }
        NotRefreshed::NewerGateway => "The gateway refreshes it when it uses it.".to_owned(),
        NotRefreshed::GatewayUnknown(_) => {
            "Repair that store; or, if OpenClaw is not used any more, move its directory away."
                .to_owned()
        }
        NotRefreshed::FailedJustNow(_) => "Run the command again in a while.".to_owned(),
        NotRefreshed::Obstacle(_) => {
            "Fix that, and run the command again; see: clawkeep doctor".to_owned()
        }
        NotRefreshed::NoRefreshToken
            if doc
                .credential(id)
                .is_some_and(|credential| credential.kind != CredentialType::OAuth) =>
        {
            match Owner::of(id) {
                owner if owner.mirror().is_some() => owner.how_to_refresh(),
                _ => "Only OAuth logins are refreshed.".to_owned(),
            }
        }
        _ => of_loss(Loss::Dead),
    }
}

/// A provider's id as a key of TOML.
pub(crate) fn quoted(provider: &ProviderId) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if provider.as_str().chars().all(is_bare) {
        provider.to_string()
    } else {
        format!("\"{}\"", shown_id(provider.as_str()))
    }
}
