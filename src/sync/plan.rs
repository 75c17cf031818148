//! What a source's login means for the profile that mirrors it: insert, replace or keep, and why.
//!
//! Pure. The rule and its order are the reference's (`spec/compat.md`, Sync); a synced profile
//! touches no other profile id, and a replaced one is replaced whole.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::domain::{
    Credential, CredentialType, Expiry, ExpiryFault, SecretJson, UnixMs, json_number,
};
use crate::sources::Reading;
use crate::sources::claude_code::ClaudeCodeLogin;
use crate::sources::codex_cli::CodexLogin;

/// What is to be done with the mirroring profile.
#[derive(Debug)]
pub enum Decision {
    /// There is none: store this entry.
    Insert {
        /// The whole entry to store.
        entry: SecretJson,
    },
    /// Store this entry in place of the stored one.
    Replace {
        /// The whole entry; nothing of the stored one is carried over.
        entry: SecretJson,
        /// What made the stored one give way.
        why: ReplaceReason,
    },
    /// Leave the profile, or its absence, as it is.
    Keep {
        /// Why the stored profile is kept.
        why: KeepReason,
    },
}

/// Why a stored profile gives way to the source's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceReason {
    /// It cannot be read as a credential at all.
    Unreadable,
    /// It is of another type than a sync of this source makes.
    OtherType,
    /// It belongs to another provider.
    OtherProvider,
    /// It has expired, or has no expiry.
    StoredExpired,
    /// The source's login is valid longer than the stored one.
    SourceLater,
    /// The source is logged in with another account now.
    OtherAccount,
    /// The login comes from another place than the stored one, and whose it is cannot be known.
    OtherPlace,
    /// The source was logged out and is logged in again: what is stored may have been revoked.
    LoggedInAgain,
    /// The user chose the source's login.
    Chosen,
}

impl ReplaceReason {
    /// The name in the audit record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::OtherType => "other-type",
            Self::OtherProvider => "other-provider",
            Self::StoredExpired => "stored-expired",
            Self::SourceLater => "source-later",
            Self::OtherAccount => "other-account",
            Self::OtherPlace => "other-place",
            Self::LoggedInAgain => "logged-in-again",
            Self::Chosen => "chosen",
        }
    }
}

/// Why a profile is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepReason {
    /// There is no source. The usual case.
    SourceAbsent,
    /// The source holds no login; a login stored earlier is not deleted for that.
    SourceLoggedOut,
    /// The source is damaged or unreadable, which is no news.
    SourceDamaged,
    /// The stored profile is the source's login already. The usual case.
    Same,
    /// A gateway has rewritten the profile as `oauth`, with Claude Code's current token in it.
    SameLogin,
    /// Another profile has the source's login already.
    SameLoginElsewhere,
    /// The stored profile is good, and the source's login has an expiry that cannot be relied on.
    OddExpiry,
    /// The stored profile is good and lasts at least as long as the source's.
    StoredLater,
    /// The stored profile is good, and the source's login is another account's.
    OtherAccount,
    /// The stored profile is good and came from another place, and whose the source's login is
    /// cannot be known.
    OtherPlace,
}

impl KeepReason {
    /// The name in the audit record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SourceAbsent => "source-absent",
            Self::SourceLoggedOut => "source-logged-out",
            Self::SourceDamaged => "source-damaged",
            Self::Same => "same",
            Self::SameLogin => "same-login",
            Self::SameLoginElsewhere => "same-login-elsewhere",
            Self::OddExpiry => "unusable-expiry",
            Self::StoredLater => "stored-later",
            Self::OtherAccount => "other-account",
            Self::OtherPlace => "other-place",
        }
    }
}

/// How a source's login is stored.
struct Mirror {
    kind: CredentialType,
    provider: &'static str,
    /// The fields in which two entries of this kind may differ, as the reference compares them:
    /// other fields are of later gateways and no reason to replace an entry.
    compared: &'static [&'static str],
}

const CLAUDE_CODE: Mirror = Mirror {
    kind: CredentialType::Token,
    provider: "anthropic",
    compared: &["provider", "token", "expires", "email"],
};

const CODEX_CLI: Mirror = Mirror {
    kind: CredentialType::OAuth,
    provider: "openai-codex",
    compared: &[
        "provider",
        "access",
        "refresh",
        "expires",
        "email",
        "enterpriseUrl",
        "projectId",
        "accountId",
    ],
};

/// Decides about `anthropic:claude-cli`, whose stored entry is `stored`.
///
/// An `oauth` entry that already carries Claude Code's current token is a later gateway's way of
/// storing it; it would be written back and forth without end if it gave way here.
#[must_use]
pub fn plan_claude_code(
    stored: Option<&Value>,
    reading: &Reading<ClaudeCodeLogin>,
    now: UnixMs,
) -> Decision {
    let login = match found(reading) {
        Ok(login) => login,
        Err(why) => return Decision::Keep { why },
    };
    let access = login.access.expose_secret();
    let mirrored_by_gateway = stored.map(Credential::of).is_some_and(|stored| {
        stored.kind == CredentialType::OAuth
            && stored.provider == CLAUDE_CODE.provider
            && stored.expose_secret() == Some(access)
    });
    if mirrored_by_gateway {
        return Decision::Keep {
            why: KeepReason::SameLogin,
        };
    }
    let entry = claude_code_entry(login);
    CLAUDE_CODE.decide(stored, entry, login.expires, now)
}

/// Decides about `openai-codex:codex-cli`, whose stored entry is `stored`.
#[must_use]
pub fn plan_codex_cli(
    stored: Option<&Value>,
    reading: &Reading<CodexLogin>,
    now: UnixMs,
) -> Decision {
    let login = match found(reading) {
        Ok(login) => login,
        Err(why) => return Decision::Keep { why },
    };
    let entry = codex_cli_entry(login);
    CODEX_CLI.decide(stored, entry, login.expires, now)
}

/// As [`plan_codex_cli`], where the agent has `others` besides: a login that one of them has
/// already is not stored twice. A later gateway takes the second one out at every load; it would
/// come and go without end.
#[must_use]
pub fn plan_codex_cli_among<'a>(
    mut others: impl Iterator<Item = &'a Value>,
    stored: Option<&Value>,
    reading: &Reading<CodexLogin>,
    now: UnixMs,
) -> Decision {
    const LOGIN: [&str; 4] = ["type", "provider", "access", "refresh"];
    let decision = plan_codex_cli(stored, reading, now);
    let Decision::Insert { entry } = &decision else {
        return decision;
    };
    let entry = entry.expose_secret();
    if others.any(|other| LOGIN.iter().all(|field| same_field(other, entry, field))) {
        let why = KeepReason::SameLoginElsewhere;
        return Decision::Keep { why };
    }
    decision
}

/// How the source's login relates to the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is of the same account, or comes from the same place and nothing says otherwise.
    Same,
    /// It comes from the same place and is another account's.
    OtherAccount,
    /// It comes from another place and is another account's.
    OtherAccountElsewhere {
        /// Whether the place that the stored login came from is still there.
        is_origin_there: bool,
    },
    /// It comes from another place, and whose it is cannot be known.
    Unknown,
}

/// What this program makes of the reference's decision, given whose the login is. A login of
/// another account never passes for a refresh, and two places with a login each never take turns.
#[must_use]
pub fn by_account(decision: Decision, relation: Relation) -> Decision {
    match (decision, relation) {
        (decision, Relation::Same) => decision,
        (
            Decision::Replace {
                entry,
                why: ReplaceReason::StoredExpired,
            },
            relation,
        ) => match relation {
            Relation::Unknown => Decision::Replace {
                entry,
                why: ReplaceReason::OtherPlace,
            },
            Relation::OtherAccountElsewhere {
                is_origin_there: true,
            } => Decision::Keep {
                why: KeepReason::OtherAccount,
            },
            _ => Decision::Replace {
                entry,
                why: ReplaceReason::OtherAccount,
            },
        },
        (
            Decision::Replace {
                entry,
                why: ReplaceReason::SourceLater | ReplaceReason::LoggedInAgain,
            },
            Relation::OtherAccount
            | Relation::OtherAccountElsewhere {
                is_origin_there: false,
            },
        ) => Decision::Replace {
            entry,
            why: ReplaceReason::OtherAccount,
        },
        (
            Decision::Replace {
                why: ReplaceReason::SourceLater,
                ..
            }
            | Decision::Keep {
                why: KeepReason::StoredLater,
            },
            relation,
        ) => Decision::Keep {
            why: match relation {
                Relation::Unknown => KeepReason::OtherPlace,
                _ => KeepReason::OtherAccount,
            },
        },
        (decision, _) => decision,
    }
}

/// What this program makes of the reference's decision, given what is wrong with the expiry of the
/// stored login and of the source's: a date decades ahead neither replaces a login that is good nor
/// keeps a newer one out.
#[must_use]
pub fn by_expiry(
    decision: Decision,
    (stored, source): (Option<ExpiryFault>, Option<ExpiryFault>),
    entry: Option<SecretJson>,
) -> Decision {
    match (decision, entry) {
        (
            Decision::Replace {
                why: ReplaceReason::SourceLater,
                ..
            },
            _,
        ) if source.is_some() => Decision::Keep {
            why: KeepReason::OddExpiry,
        },
        (
            Decision::Keep {
                why: KeepReason::StoredLater,
            },
            Some(entry),
        ) if stored.is_some() && source.is_none() => Decision::Replace {
            entry,
            why: ReplaceReason::StoredExpired,
        },
        (decision, _) => decision,
    }
}

/// The decision after a logout at the same place: the new login replaces the stored one, also where
/// it expires earlier. The logout may have revoked the stored one.
#[must_use]
pub fn after_logout(decision: Decision, entry: Option<SecretJson>) -> Decision {
    match (decision, entry) {
        (
            Decision::Keep {
                why: KeepReason::StoredLater,
            },
            Some(entry),
        ) => Decision::Replace {
            entry,
            why: ReplaceReason::LoggedInAgain,
        },
        (decision, _) => decision,
    }
}

/// The decision where the user chose the source's login over the stored one: what there is replaces
/// it.
#[must_use]
pub fn chosen(decision: Decision, rejected: Option<SecretJson>) -> Decision {
    match (decision, rejected) {
        (Decision::Replace { entry, .. }, _) | (Decision::Keep { .. }, Some(entry)) => {
            Decision::Replace {
                entry,
                why: ReplaceReason::Chosen,
            }
        }
        (decision, _) => decision,
    }
}

/// The entry that Claude Code's login is stored as.
#[must_use]
pub fn claude_code_entry(login: &ClaudeCodeLogin) -> SecretJson {
    SecretJson::new(json!({
        "type": CLAUDE_CODE.kind.as_str(),
        "provider": CLAUDE_CODE.provider,
        "token": login.access.expose_secret(),
        "expires": json_number(login.expires.ms()),
    }))
}

/// The entry that Codex's login is stored as.
#[must_use]
pub fn codex_cli_entry(login: &CodexLogin) -> SecretJson {
    SecretJson::new(json!({
        "type": CODEX_CLI.kind.as_str(),
        "provider": CODEX_CLI.provider,
        "access": login.access.expose_secret(),
        "refresh": login.refresh.expose_secret(),
        "expires": json_number(login.expires.ms()),
    }))
}

fn found<L>(reading: &Reading<L>) -> Result<&L, KeepReason> {
    match reading {
        Reading::Found(login) => Ok(login),
        Reading::Absent => Err(KeepReason::SourceAbsent),
        Reading::LoggedOut(_) => Err(KeepReason::SourceLoggedOut),
        Reading::Damaged(_) => Err(KeepReason::SourceDamaged),
    }
}

impl Mirror {
    fn decide(
        &self,
        stored: Option<&Value>,
        entry: SecretJson,
        expires: Expiry,
        now: UnixMs,
    ) -> Decision {
        let Some(stored) = stored else {
            return Decision::Insert { entry };
        };
        match self.reason_to_replace(stored, entry.expose_secret(), expires, now) {
            Ok(why) => Decision::Replace { entry, why },
            Err(why) => Decision::Keep { why },
        }
    }

    fn reason_to_replace(
        &self,
        stored: &Value,
        entry: &Value,
        expires: Expiry,
        now: UnixMs,
    ) -> Result<ReplaceReason, KeepReason> {
        let credential = Credential::of(stored);
        if !credential.is_readable() {
            return Ok(ReplaceReason::Unreadable);
        }
        if credential.kind != self.kind {
            return Ok(ReplaceReason::OtherType);
        }
        // As written, not normalised: the reference does so, and corrects a profile spelt
        // otherwise.
        if credential.provider != self.provider {
            return Ok(ReplaceReason::OtherProvider);
        }
        if self
            .compared
            .iter()
            .all(|field| same_field(stored, entry, field))
        {
            return Err(KeepReason::Same);
        }
        // No expiry reads as 0, hence as expired: a mirrored login always has one. An expired
        // login of the source replaces an expired stored one too: it is what the source has now.
        let until = credential.expiry().map_or(0.0, Expiry::ms);
        if until <= now.as_f64() {
            Ok(ReplaceReason::StoredExpired)
        } else if expires.ms() > until {
            // In the future as well, since the stored one is.
            Ok(ReplaceReason::SourceLater)
        } else {
            Err(KeepReason::StoredLater)
        }
    }
}

/// Whether a field is the same in both, numbers by value (`5` is `5.0`, as in JavaScript).
fn same_field(a: &Value, b: &Value, field: &str) -> bool {
    match (a.get(field), b.get(field)) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests;
