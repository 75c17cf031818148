//! `models auth list`: an agent's credentials, secrets masked.

use clap::Args;
use clawkeep::internal::domain::{
    Borrowed, Credential, Expiry, Owner, ProviderId, Section, Span, StoreDoc, UnixMs, json_number,
    normalize_provider, path_text, unavailability,
};
use clawkeep::internal::health::{AsOf, CredentialState};
use clawkeep::internal::sync::{LoginReport, LoginState};
use clawkeep::internal::vault::GrantState;
use serde_json::{Value, json};

use crate::commands::logins::rows::last_uses;
use crate::commands::status::report::mask::masked;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::record::json::fields;
use crate::terminal::table::table;
use crate::terminal::text::{local_minute, shown_id, shown_unavailability};

/// Show an agent's credentials, secrets masked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth list\n  clawkeep models auth list --provider \
        anthropic --json"
)]
pub(crate) struct List {
    /// Only this provider's
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: Option<ProviderId>,
    #[command(flatten)]
    agent: AgentOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

struct Row<'d> {
    id: &'d str,
    credential: Credential<'d>,
    state: CredentialState<'d>,
    /// As the gateway's statistics in the store have it.
    last_used: Option<Expiry>,
    /// As the record has it.
    recorded_use: Option<UnixMs>,
    grant: Option<GrantState>,
    /// The program that owns it, if it was imported as another program's.
    borrowed: Option<&'d Borrowed>,
    /// The state of the login that it mirrors.
    login: Option<&'d LoginReport>,
    now: UnixMs,
}

impl List {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = context.vault_to_read()?;
        let loaded = context.load(&mut vault, &agent)?;
        let as_of = context.as_of(context.clock.now());
        let grants = vault.troubled_grants(&loaded.doc)?;
        let uses = last_uses(&vault)?;
        let recorded_use = |id: &str| {
            let subject = (agent.name.as_str().to_owned(), id.to_owned());
            uses.get(&subject).copied()
        };
        let is_wanted = |credential: &Credential<'_>| match &self.provider {
            Some(provider) => normalize_provider(credential.provider) == provider.as_str(),
            None => true,
        };
        let rows: Vec<Row<'_>> = loaded
            .doc
            .credentials()
            .filter(|(_, credential)| is_wanted(credential))
            .map(|(id, credential)| Row {
                grant: grants.get(id).copied(),
                recorded_use: recorded_use(id),
                borrowed: loaded.borrowed.get(id),
                login: loaded
                    .logins
                    .iter()
                    .find(|report| report.profile == id && !report.is_elsewhere),
                ..Row::of(&loaded.doc, id, credential, as_of)
            })
            .collect();
        let store = context.layout.shorten_home(&agent.store_file());
        let damaged: Vec<(&String, &String)> = loaded
            .damage
            .profiles
            .iter()
            .filter(|(_, provider)| {
                let wanted = self.provider.as_ref();
                wanted.is_none_or(|wanted| wanted.as_str() == provider.as_str())
            })
            .collect();
        if self.json {
            let lost = damaged.iter().map(|(id, provider)| {
                json!({"profileId": id, "provider": provider, "status": "damaged"})
            });
            context.ui.json(&json!({
                "agentId": agent.name.as_str(),
                "agentDir": path_text(&agent.dir).into_owned(),
                "authStorePath": store,
                "profiles": rows.iter().map(Row::to_json).chain(lost).collect::<Vec<_>>(),
            }))?;
        } else {
            let head = format!("Agent: {}\nAuth file: {store}\n", agent.name);
            let header = [
                "PROFILE",
                "PROVIDER",
                "TYPE",
                "STATUS",
                "EXPIRES",
                "LAST USED",
                "SECRET",
            ];
            let lost = damaged.iter().map(|(id, provider)| {
                [id.as_str(), provider, "-", "damaged", "-", "-", "-"].map(shown_id)
            });
            let cells: Vec<_> = rows.iter().map(Row::cells).chain(lost).collect();
            let body = if cells.is_empty() {
                "No profiles.\n".to_owned()
            } else {
                table(header, &cells, context.ui.width())
            };
            context.ui.answer(&format!("{head}\n{body}"))?;
        }
        context.verdict(loaded)
    }
}

impl<'d> Row<'d> {
    fn of(doc: &'d StoreDoc, id: &'d str, credential: Credential<'d>, as_of: AsOf) -> Self {
        let usage = doc.get(Section::Usage, id);
        let mut state = CredentialState::of(&credential, as_of);
        state.unavailability = unavailability(doc, id, as_of.now);
        Self {
            id,
            credential,
            state,
            last_used: Expiry::from_json(usage.and_then(|usage| usage.get("lastUsed"))),
            recorded_use: None,
            grant: None,
            borrowed: None,
            login: None,
            now: as_of.now,
        }
    }

    /// The secret as people may see it; `None` for an entry that cannot be read.
    fn secret(&self) -> Option<String> {
        if let Some(reference) = self.credential.reference() {
            return Some(reference.describe());
        }
        let is_readable = self.credential.is_readable();
        is_readable.then(|| masked(self.credential.expose_secret().unwrap_or_default()))
    }

    /// Who refreshes it.
    fn owner(&self) -> Owner {
        Borrowed::owner_of(self.borrowed, self.id)
    }

    /// The state of its grant, if not normal.
    fn grant(&self) -> Option<&'static str> {
        self.grant.map(GrantState::as_str)
    }

    fn cells(&self) -> [String; 7] {
        let mut status = self.state.word().to_owned();
        if let Some(grant) = self.grant() {
            status.push_str(&format!(", {grant}"));
        }
        if let Some(from) = self.borrowed {
            status.push_str(&format!(", borrowed from {}", from.lender()));
        }
        if let Some(unavailability) = &self.state.unavailability {
            status.push_str(&format!(", {}", shown_unavailability(unavailability)));
        }
        if let Some(fault) = self.state.expiry_fault {
            status.push_str(&format!(", expiry {}", fault.words()));
        }
        if let Some(report) = self.login {
            if report.state != LoginState::Usable {
                status.push_str(&format!(", {}", report.state.as_str().replace('-', " ")));
            }
            if report.is_kept {
                status.push_str(", kept");
            }
            if let Some(expires) = report.login_expires {
                status.push_str(&format!(", login {}", (expires - self.now).expiry()));
            }
        }
        let left = self.state.health.left();
        let expires = match self.state.unreliable_expiry() {
            Some(_) => "unknown".to_owned(),
            None => left.map_or("-".to_owned(), Span::from_now),
        };
        let dash = || "-".to_owned();
        let in_store = self.last_used.map(|at| UnixMs::from_ms(at.floor_ms()));
        let last_used = in_store.max(self.recorded_use);
        [
            self.id.to_owned(),
            if self.credential.provider.is_empty() {
                dash()
            } else {
                self.credential.provider.to_owned()
            },
            self.credential.kind.as_str().to_owned(),
            status,
            expires,
            last_used.map_or_else(dash, local_minute),
            self.secret().unwrap_or_else(dash),
        ]
        .map(|cell| shown_id(&cell))
    }

    fn to_json(&self) -> Value {
        let number = |at: Option<Expiry>| at.map(|at| json_number(at.ms()));
        let login = self
            .login
            .filter(|report| report.state != LoginState::Usable);
        let login_expires = self.login.and_then(|report| report.login_expires);
        let state = &self.state;
        let unusable = state.unavailability.as_ref();
        fields([
            ("profileId", Some(json!(self.id))),
            ("provider", Some(json!(self.credential.provider))),
            ("type", Some(json!(self.credential.kind.as_str()))),
            ("status", Some(json!(state.word()))),
            ("grant", self.grant().map(Value::from)),
            ("expiresAt", number(state.health.expires_at)),
            ("remainingMs", state.health.remaining_ms.map(json_number)),
            ("source", Some(json!(self.owner().reported()))),
            ("borrowedFrom", self.borrowed.map(|from| json!(from.path))),
            (
                "expiryFault",
                state.expiry_fault.map(|fault| json!(fault.as_str())),
            ),
            ("login", login.map(|report| json!(report.state.as_str()))),
            ("loginExpiresAt", login_expires.map(|at| json!(at.0))),
            ("email", self.credential.email().map(Value::from)),
            ("secret", self.secret().map(Value::from)),
            ("lastUsed", number(self.last_used)),
            ("unusableUntil", number(unusable.map(|found| found.until))),
            (
                "unusable",
                unusable.map(|found| json!(shown_unavailability(found))),
            ),
        ])
    }
}
