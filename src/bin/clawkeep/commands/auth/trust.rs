//! `models auth trust`: confirms where a login's tokens may be sent from now on.

use clap::Args;
use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::{ProfileId, ProviderId, from_outside};
use clawkeep::internal::sync::{Edited, NotRefreshed};
use serde_json::json;

use super::{checks, edit};
use crate::commands::hand_out::refresh_failure;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::terminal::prompt;
use crate::terminal::text::shown_id;

/// Confirm where a login's tokens are sent.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep models auth trust openai-codex:default\n\nA login is \
        pinned to the token endpoint that issued it. When the settings name another one, clawkeep \
        sends nothing until you confirm it with this command, on a terminal."
)]
pub(crate) struct Trust {
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    agent: AgentOption,
}

impl Trust {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = context.vault()?;
        let loaded = context.load(&mut vault, &agent)?;
        let id = ids::id_in(&loaded.doc, &self.id);
        let credential = checks::existing_of(&loaded, &agent, id)?;
        let refused = |why: &NotRefreshed| Failure::Refused {
            what: refresh_failure::reason(id, why),
            next: refresh_failure::fix(context, (&agent.name, &loaded.doc), id, why),
        };
        if credential.expose_refresh().is_none() {
            return Err(refused(&NotRefreshed::NoRefreshToken));
        }
        let provider = ProviderId::new(credential.provider);
        let known = context.providers()?.get(&provider);
        let known = known.map_err(|fault| refused(&NotRefreshed::BadProvider(fault)))?;
        let known = known.ok_or_else(|| refused(&NotRefreshed::NoProvider(provider.clone())))?;
        let now = known
            .endpoint(credential.client_id())
            .ok_or_else(|| refused(&NotRefreshed::NoClient(provider)))?;
        let pinned = vault.agent(&agent.name)?.pins.remove(id);
        let shown = shown_id(id);
        let trusted = json!({"profileId": id, "origin": now.origin});
        if pinned.as_ref() == Some(&now) {
            let origin = shown_id(&now.origin);
            let text = format!("The tokens of {shown} are sent to {origin} already.\n");
            context.ui.done(&text, &trusted)?;
            return context.verdict(loaded);
        }
        if !prompt::is_possible() {
            return Err(Failure::Refused {
                what: format!(
                    "where the tokens of {shown} are sent must be confirmed on a terminal"
                ),
                next: "Run the command on one.".to_owned(),
            });
        }
        let before = pinned.as_ref().map_or_else(
            || "It is not pinned yet.".to_owned(),
            |pinned| format!("Of {shown}: {}.", refresh_failure::changed(pinned, &now)),
        );
        context.ui.note(&before);
        let question = format!(
            "Send its refresh token to {} as client {} from now on?",
            shown_id(known.token_url.as_str()),
            shown_id(&now.client_id)
        );
        if !prompt::confirm(&question, false)? {
            context.ui.note("Nothing was changed.");
            return Ok(());
        }
        let id = ProfileId::new(id);
        let provider = ProviderId::new(credential.provider);
        let loaded = edit::edit_store(context, &mut vault, &agent, |_| {
            let mut event = EventDraft::new(EventKind::EndpointTrusted, Origin::Clawkeep)
                .profile(&id, provider.as_str())
                .detail("to", from_outside(&now.origin))
                .detail("client", from_outside(&now.client_id));
            if let Some(pinned) = &pinned {
                event = event.detail("from", from_outside(&pinned.origin));
            }
            let mut edited = Edited::nothing().pinned(id.clone(), now.clone());
            edited.events.push(event);
            Ok(edited)
        })?;
        let text = format!(
            "The tokens of {shown} are sent to {} from now on.\n",
            shown_id(&now.origin)
        );
        context.ui.done(&text, &trusted)?;
        context.verdict(loaded)
    }
}
