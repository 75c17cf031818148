//! `secretref`: an exec secret provider for OpenClaw. One request on stdin, one answer on stdout,
//! no questions.
//!
//! Source: OpenClaw's documentation, SecretRef contract and provider config, Exec provider
//! (protocol version 1).

use std::io::{self, IsTerminal as _, Read as _};

use clap::Args;
use clawkeep::internal::client::{Changing, Chooser, Request, Scope, TokenOptions};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{ProfileId, ProviderId, SecretFault, Span};
use clawkeep::internal::health::PassedOver;
use clawkeep::internal::sync::{HandOut, Loaded, Refreshes};
use clawkeep::internal::vault::{Damage, Pin};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::time_arg::span;
use crate::terminal::text::{json_shown, shown_id};

/// The only version of the protocol that there is.
const PROTOCOL: u64 = 1;
/// The longest request, in bytes: four times what OpenClaw sends.
const REQUEST_MAX: u64 = 1 << 20;
/// Ids of one request, at most. Source: OpenClaw, `maxRefsPerProvider`.
const IDS_MAX: usize = 512;

/// The variables that clawkeep needs to find the vault and the keychain.
#[cfg(not(windows))]
macro_rules! pass_env {
    () => {
        r#""HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS""#
    };
}
#[cfg(windows)]
macro_rules! pass_env {
    () => {
        r#""USERPROFILE", "LOCALAPPDATA", "SystemRoot""#
    };
}

/// Hand keys and tokens to OpenClaw, as an exec secret provider.
#[derive(Debug, Args)]
#[command(
    after_help = concat!("Example:\n  echo \
        '{\"protocolVersion\":1,\"provider\":\"clawkeep\",\"ids\":[\"openai:default\"]}' | \
        clawkeep secretref\n\nAn id is a profile's id or a provider's name (then: its next key or \
        token). In openclaw.json:\n  secrets: { providers: { clawkeep: { source: \"exec\", \
        command: \"/absolute/path/to/clawkeep\", args: [\"secretref\"],\n    passEnv: \
        [", pass_env!(), "] } } }\n\nOpenClaw keeps what it gets until it reloads, so clawkeep \
        hands out only what does not change by itself: API keys, and tokens that were stored \
        here. It records each use before it prints the secret.")
)]
pub(crate) struct SecretRef {
    #[command(flatten)]
    agent: AgentOption,
    /// Only tokens with at least this much remaining lifetime: 1d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_valid: Option<Span>,
}

/// The outcome for one id.
type Outcome = Result<ProfileId, Refusal>;

/// Why an id's secret is not handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    /// A code for programs. OpenClaw shows `NOT_FOUND`, and for all others only that an error
    /// occurred.
    code: &'static str,
    /// A message for people.
    message: String,
}

/// The answer to a request.
#[derive(Default)]
struct Answer {
    values: Vec<(String, SecretString)>,
    errors: Vec<(String, Refusal)>,
}

impl SecretRef {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let ids = match read_request() {
            Ok(ids) => ids,
            Err(Bad::Request(what)) => {
                Answer::refused(["*".to_owned()], "BAD_REQUEST", &what).write(context)?;
                return Err(Failure::BadArgument(what));
            }
            Err(Bad::Version(ids)) => {
                let what = format!("this speaks protocolVersion {PROTOCOL}");
                return Answer::refused(ids, "UNSUPPORTED_PROTOCOL", &what).write(context);
            }
            Err(Bad::Input(failure)) => return Err(failure),
        };
        let answer = self.hand_out(context, &ids)?;
        for (id, refusal) in &answer.errors {
            let id = shown_id(id);
            context.ui.note(&format!("{id}: {}", refusal.message));
        }
        answer.write(context)
    }

    /// Chooses and records everything that is handed out, in one pass.
    fn hand_out(&self, context: &Context, ids: &[String]) -> Result<Answer, Failure> {
        let settings = context.settings()?;
        let fallback = context.own()?.fallback;
        let agent = self.agent.resolve(context)?;
        let options = TokenOptions::default().min_lifetime(self.min_valid.unwrap_or_default());
        // a vault created here would be wrong: the environment has only a few variables
        let mut vault = context.unlocked().map_err(Failure::of_use)?;
        let mode = context.mode_for(&vault, &agent)?;
        let (loaded, outcomes, _) = context.with_engine(&mut vault, |engine| {
            let choose = |loaded: &Loaded, pins: &[Pin], refreshes: &Refreshes| {
                let choosing = Choosing {
                    damage: &loaded.damage,
                    agent: &agent,
                    chooser: Chooser {
                        doc: &loaded.doc,
                        borrowed: &loaded.borrowed,
                        pins,
                        refreshes,
                        settings,
                        options: &options,
                        fallback,
                        scope: Scope::Static,
                        now: context.clock.now(),
                    },
                };
                let mut passed_over = Vec::new();
                let outcomes: Vec<Outcome> = ids
                    .iter()
                    .map(|id| choosing.find(id, &mut passed_over))
                    .collect();
                let mut uses: Vec<ProfileId> = Vec::new();
                for id in outcomes.iter().flatten() {
                    if !uses.contains(id) {
                        uses.push(id.clone());
                    }
                }
                let handing = HandOut {
                    uses,
                    passed_over,
                    command: "secretref",
                    program: None,
                    session: None,
                    due: Vec::new(),
                };
                Ok::<_, Failure>((handing, outcomes))
            };
            engine.hand_out((&agent, None), mode, choose, |_, _| {
                // Nothing is due: refreshable logins are not handed out.
                Ok(clawkeep::internal::sync::RefreshOutcome::StillValid)
            })
        })?;
        context.report_load(&loaded);
        let mut answer = Answer::default();
        for (id, outcome) in ids.iter().zip(outcomes) {
            match outcome {
                Ok(profile) => {
                    let credential = loaded.doc.credential(profile.as_str());
                    let secret = credential.and_then(|credential| credential.expose_secret());
                    let secret = secret.unwrap_or_default().trim().into();
                    answer.values.push((id.clone(), secret));
                }
                Err(refusal) => answer.errors.push((id.clone(), refusal)),
            }
        }
        Ok(answer)
    }
}

/// The candidates of a choice, and what is known of the agent.
struct Choosing<'f> {
    damage: &'f Damage,
    agent: &'f AgentRef,
    chooser: Chooser<'f>,
}

impl Choosing<'_> {
    /// The profile that an id stands for, if its secret may be handed out.
    fn find(&self, id: &str, passed_over: &mut Vec<(ProfileId, &'static str)>) -> Outcome {
        let doc = self.chooser.doc;
        if self.damage.hides(id, doc) || self.damage.affects(id, doc) {
            let what = "what the vault has of it is damaged or was modified outside clawkeep";
            return Err(refusal("DAMAGED", format!("{what}; see: clawkeep doctor")));
        }
        if doc.credential(id).is_none() {
            return self.next_of(id, passed_over);
        }
        if let Some(changing) = self.chooser.changing(id) {
            let (what, id) = (how_it_changes(changing), shown_id(id));
            let message = format!("{what}; have it asked for with: clawkeep token --profile {id}");
            return Err(refusal("NOT_STATIC", message));
        }
        let choice = self.chooser.choose(&Request::Profile(id.to_owned()));
        choice.chosen.ok_or_else(|| {
            let why = choice.passed_over.first().map(|(_, why)| *why);
            let why = why.unwrap_or(PassedOver::Missing);
            refusal(code(why), in_words(why).to_owned())
        })
    }

    /// The next key or token of a provider.
    fn next_of(&self, name: &str, passed_over: &mut Vec<(ProfileId, &'static str)>) -> Outcome {
        let provider = ProviderId::new(name);
        if self.chooser.doc.profiles_of(provider.as_str()).is_empty() {
            let agent = &self.agent.name;
            let message = format!(
                "agent {agent} has no profile of that id, and none of a provider of that name"
            );
            return Err(refusal("NOT_FOUND", message));
        }
        let choice = self.chooser.choose(&Request::Provider(provider));
        let over = choice.passed_over.iter();
        passed_over.extend(over.map(|(id, why)| (id.clone(), why.as_str())));
        choice.chosen.ok_or_else(|| {
            let reasons = choice.passed_over.iter();
            let reasons: Vec<String> = reasons
                .map(|(id, why)| format!("{} {}", shown_id(id.as_str()), in_words(*why)))
                .collect();
            if reasons.is_empty() {
                let name = shown_id(name);
                let message = format!(
                    "what there is of that provider are logins, which change by themselves; have \
                     one asked for with: clawkeep token --provider {name}"
                );
                return refusal("NOT_STATIC", message);
            }
            refusal("UNUSABLE", reasons.join("; "))
        })
    }
}

fn how_it_changes(changing: Changing) -> &'static str {
    match changing {
        Changing::Login => "it is a login, whose access token is replaced within hours",
        Changing::OtherPrograms => {
            "it is another program's login, which that program replaces within hours"
        }
    }
}

fn code(why: PassedOver) -> &'static str {
    match why {
        PassedOver::Missing => "NOT_FOUND",
        PassedOver::Expired => "EXPIRED",
        PassedOver::EndsTooSoon => "ENDS_TOO_SOON",
        _ => "UNUSABLE",
    }
}

fn in_words(why: PassedOver) -> &'static str {
    match why {
        PassedOver::Expired => "has expired",
        PassedOver::EndsTooSoon => "ends too soon",
        PassedOver::Mismatch => "is of another provider or kind than the configuration says",
        PassedOver::InCooldown => "rests", // in JSON, which stays
        PassedOver::Reference => "is a reference itself, which clawkeep does not look up",
        PassedOver::Misnamed => {
            "has its type or secret under another name than the one that is read; see: clawkeep \
             doctor"
        }
        PassedOver::BadSecret(SecretFault::LineBreak) => "has a line break in its secret",
        PassedOver::BadSecret(SecretFault::Placeholder) => {
            "holds a placeholder, such as ${VAR} or <your-key>, and no secret"
        }
        PassedOver::BadSecret(_) => {
            "has blanks or characters in its secret that no key or token has"
        }
        _ => "cannot be read",
    }
}

fn refusal(code: &'static str, message: String) -> Refusal {
    Refusal { code, message }
}

/// What is wrong with a request.
enum Bad {
    /// The request is malformed.
    Request(String),
    /// The request has another version, and asks for these ids.
    Version(Vec<String>),
    /// It could not be read.
    Input(Failure),
}

/// Reads the request, and which ids it asks for, each once.
fn read_request() -> Result<Vec<String>, Bad> {
    // The request takes stdin, so no passphrase can be asked for.
    if io::stdin().is_terminal() {
        return Err(Bad::Input(Failure::BadArgument(
            "a request is read from stdin, which is a terminal; OpenClaw runs this command"
                .to_owned(),
        )));
    }
    let mut bytes = Vec::new();
    let read = io::stdin()
        .lock()
        .take(REQUEST_MAX + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| Bad::Input(Failure::Input(error)))?;
    if bytes.len() as u64 > REQUEST_MAX {
        return Err(Bad::Request("the request is too long".to_owned()));
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Vec<String>, Bad> {
    let bad = |what: &str| Bad::Request(what.to_owned());
    let request: Value = serde_json::from_slice(bytes)
        .map_err(|_| bad("the request on stdin is no JSON document"))?;
    let listed = request.get("ids").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| bad("the request has no list `ids`"))?;
    if listed.len() > IDS_MAX {
        return Err(Bad::Request(format!(
            "the request has more than {IDS_MAX} ids"
        )));
    }
    let mut ids: Vec<String> = Vec::new();
    for id in listed {
        let id = id.as_str().filter(|id| !id.trim().is_empty());
        let id = id.ok_or_else(|| bad("the request has an id that is no text"))?;
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    if request.get("protocolVersion").and_then(Value::as_u64) != Some(PROTOCOL) {
        return Err(Bad::Version(ids));
    }
    Ok(ids)
}

impl Answer {
    /// An answer that refuses every id for the same reason.
    fn refused(ids: impl IntoIterator<Item = String>, code: &'static str, why: &str) -> Self {
        let refusal = |id| (id, refusal(code, why.to_owned()));
        Self {
            values: Vec::new(),
            errors: ids.into_iter().map(refusal).collect(),
        }
    }

    /// Writes the answer on one line.
    fn write(&self, context: &Context) -> Result<(), Failure> {
        // Room for all of it at once: a text that grew would leave copies of secrets. A character
        // takes six at most.
        let room =
            |(id, value): &(String, SecretString)| 6 * (id.len() + value.expose_secret().len()) + 8;
        let room: usize = self.values.iter().map(room).sum();
        let mut text = Zeroizing::new(String::with_capacity(room + 64));
        let quoted = |text: &str| Zeroizing::new(Value::from(text).to_string());
        text.push_str(&format!("{{\"protocolVersion\":{PROTOCOL},\"values\":{{"));
        for (at, (id, value)) in self.values.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&quoted(id));
            text.push(':');
            text.push_str(&quoted(value.expose_secret()));
        }
        text.push('}');
        context.ui.write(&json_shown(&text))?;
        let errors = self.errors.iter().map(|(id, refusal)| {
            let error = json!({"code": refusal.code, "message": refusal.message});
            (id.clone(), error)
        });
        let errors: Map<String, Value> = errors.collect();
        let errors = if errors.is_empty() {
            String::new()
        } else {
            format!(",\"errors\":{}", Value::Object(errors))
        };
        context.ui.write(&json_shown(&format!("{errors}}}\n")))
    }
}
