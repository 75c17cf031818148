//! What a source's login means for the profile that mirrors it: insert, replace or keep, and why.
//!
//! Pure. The rule and its order are the reference's (`spec/compat.md`, Sync); a synced profile
//! touches no other profile id, and a replaced one is replaced whole.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::domain::{
    Credential, CredentialType, Expiry, ExpiryFault, Mirror, SecretJson, UnixMs, json_number, named,
};
use crate::sources::{Login, Reading};

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

named! {
    /// Why a stored profile gives way to the source's login.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum ReplaceReason {
        /// It cannot be read as a credential at all.
        Unreadable = "unreadable",
        /// It is of another type than a sync of this source makes.
        OtherType = "other-type",
        /// It belongs to another provider.
        OtherProvider = "other-provider",
        /// It has expired, or has no expiry.
        StoredExpired = "stored-expired",
        /// The source's login is valid longer than the stored one.
        SourceLater = "source-later",
        /// The source is logged in with another account now.
        OtherAccount = "other-account",
        /// The login comes from another place than the stored one, and whose it is cannot be known.
        OtherPlace = "other-place",
        /// The source was logged out and is logged in again: what is stored may have been revoked.
        LoggedInAgain = "logged-in-again",
        /// The user chose the source's login.
        Chosen = "chosen",
    }
}

named! {
    /// Why a profile is left as it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum KeepReason {
        /// There is no source. The usual case.
        SourceAbsent = "source-absent",
        /// The source holds no login; a login stored earlier is not deleted for that.
        SourceLoggedOut = "source-logged-out",
        /// The source is damaged or unreadable, which is no news.
        SourceDamaged = "source-damaged",
        /// The stored profile is the source's login already. The usual case.
        Same = "same",
        /// A gateway has rewritten the profile as `oauth`, with Claude Code's current token in it.
        SameLogin = "same-login",
        /// Another profile has the source's login already.
        SameLoginElsewhere = "same-login-elsewhere",
        /// The stored profile is good, and the source's login has an expiry that cannot be relied
        /// on.
        OddExpiry = "unusable-expiry",
        /// The stored profile is good and lasts at least as long as the source's.
        StoredLater = "stored-later",
        /// The stored profile is good, and the source's login is another account's.
        OtherAccount = "other-account",
        /// The stored profile is good and came from another place, and whose the source's login is
        /// cannot be known.
        OtherPlace = "other-place",
    }
}

/// Decides about the profile that mirrors a login, whose stored entry is `stored`.
#[must_use]
pub fn plan_login(
    mirror: &Mirror,
    stored: Option<&Value>,
    reading: &Reading<Login>,
    now: UnixMs,
) -> Decision {
    let login = match reading {
        Reading::Found(login) => login,
        Reading::Absent => return keep(KeepReason::SourceAbsent),
        Reading::LoggedOut(_) => return keep(KeepReason::SourceLoggedOut),
        Reading::Damaged(_) => return keep(KeepReason::SourceDamaged),
    };
    let entry = mirror_entry(mirror, login);
    let Some(stored) = stored else {
        return Decision::Insert { entry };
    };
    match reason_to_replace(stored, entry.expose_secret(), login.expires, now) {
        Ok(why) => replace(entry, why),
        Err(why) => keep(why),
    }
}

/// As [`plan_login`], where the agent has `others` besides: a login with a refresh token that one
/// of them has already is not stored twice. A later gateway takes the second one out at every load;
/// it would come and go without end.
#[must_use]
pub fn plan_login_among<'a>(
    mut others: impl Iterator<Item = &'a Value>,
    mirror: &Mirror,
    stored: Option<&Value>,
    reading: &Reading<Login>,
    now: UnixMs,
) -> Decision {
    const LOGIN: [&str; 4] = ["type", "provider", "access", "refresh"];
    let decision = plan_login(mirror, stored, reading, now);
    let Decision::Insert { entry } = &decision else {
        return decision;
    };
    let entry = entry.expose_secret();
    let is_it = |other: &Value| LOGIN.iter().all(|field| same_field(other, entry, field));
    match entry.get("refresh").is_some() && others.any(is_it) {
        true => keep(KeepReason::SameLoginElsewhere),
        false => decision,
    }
}

/// How the source's login relates to the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is of the same account, or comes from the same place and nothing says otherwise.
    Same,
    /// It is another account's, and the place that the stored login came from is this one, or gone.
    OtherAccount,
    /// It is another account's, and the place that the stored login came from is still there.
    OtherAccountBeside,
    /// It comes from another place, and whose it is cannot be known.
    Unknown,
}

/// What this program makes of the reference's decision, given whose the login is. A login of
/// another account never passes for a refresh, and two places with a login each never take turns.
#[must_use]
pub fn by_account(decision: Decision, relation: Relation) -> Decision {
    use ReplaceReason as Why;
    let not_imported = match relation {
        Relation::Unknown => keep(KeepReason::OtherPlace),
        _ => keep(KeepReason::OtherAccount),
    };
    let (entry, why) = match decision {
        decision if relation == Relation::Same => return decision,
        Decision::Keep {
            why: KeepReason::StoredLater,
        } => return not_imported,
        Decision::Replace { entry, why } => (entry, why),
        decision => return decision,
    };
    match (why, relation) {
        (Why::StoredExpired, Relation::Unknown) => replace(entry, Why::OtherPlace),
        (Why::StoredExpired | Why::SourceLater, Relation::OtherAccountBeside) => not_imported,
        (Why::SourceLater, Relation::Unknown) => not_imported,
        (Why::StoredExpired | Why::SourceLater | Why::LoggedInAgain, Relation::OtherAccount) => {
            replace(entry, Why::OtherAccount)
        }
        (why, _) => replace(entry, why),
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
        (Decision::Replace { why, .. }, _)
            if why == ReplaceReason::SourceLater && source.is_some() =>
        {
            keep(KeepReason::OddExpiry)
        }
        (Decision::Keep { why }, Some(entry))
            if why == KeepReason::StoredLater && stored.is_some() && source.is_none() =>
        {
            replace(entry, ReplaceReason::StoredExpired)
        }
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
        ) => replace(entry, ReplaceReason::LoggedInAgain),
        (decision, _) => decision,
    }
}

/// The decision where the user chose the source's login over the stored one: what there is replaces
/// it.
#[must_use]
pub fn chosen(decision: Decision, rejected: Option<SecretJson>) -> Decision {
    match (decision, rejected) {
        (Decision::Replace { entry, .. }, _) | (Decision::Keep { .. }, Some(entry)) => {
            replace(entry, ReplaceReason::Chosen)
        }
        (decision, _) => decision,
    }
}

/// The entry that a login is stored as: `oauth` if it has a refresh token, otherwise `token`.
#[must_use]
pub fn mirror_entry(mirror: &Mirror, login: &Login) -> SecretJson {
    let (provider, access) = (mirror.provider, login.access.expose_secret());
    let expires = json_number(login.expires.ms());
    SecretJson::new(match &login.refresh {
        Some(refresh) => json!({
            "type": CredentialType::OAuth.as_str(),
            "provider": provider,
            "access": access,
            "refresh": refresh.expose_secret(),
            "expires": expires,
        }),
        None => json!({
            "type": CredentialType::Token.as_str(),
            "provider": provider,
            "token": access,
            "expires": expires,
        }),
    })
}

/// The fields in which two entries of a type may differ, as the reference compares them: other
/// fields are of later gateways and no reason to replace an entry.
fn compared(kind: CredentialType) -> &'static [&'static str] {
    match kind {
        CredentialType::OAuth => &[
            "provider",
            "access",
            "refresh",
            "expires",
            "email",
            "enterpriseUrl",
            "projectId",
            "accountId",
        ],
        _ => &["provider", "token", "expires", "email"],
    }
}

fn keep(why: KeepReason) -> Decision {
    Decision::Keep { why }
}

fn replace(entry: SecretJson, why: ReplaceReason) -> Decision {
    Decision::Replace { entry, why }
}

fn reason_to_replace(
    stored: &Value,
    entry: &Value,
    expires: Expiry,
    now: UnixMs,
) -> Result<ReplaceReason, KeepReason> {
    let (credential, login) = (Credential::of(stored), Credential::of(entry));
    if !credential.is_readable() {
        return Ok(ReplaceReason::Unreadable);
    }
    if credential.kind != login.kind {
        // A later gateway stores a token as `oauth`; it would be written back and forth without end
        // if it gave way here.
        let is_by_gateway = credential.kind == CredentialType::OAuth
            && credential.provider == login.provider
            && credential.expose_secret() == login.expose_secret();
        return match is_by_gateway {
            true => Err(KeepReason::SameLogin),
            false => Ok(ReplaceReason::OtherType),
        };
    }
    // As written, not normalised: the reference does so, and corrects a profile spelt otherwise.
    if credential.provider != login.provider {
        return Ok(ReplaceReason::OtherProvider);
    }
    let is_same = |field: &&str| same_field(stored, entry, field);
    if compared(login.kind).iter().all(is_same) {
        return Err(KeepReason::Same);
    }
    // No expiry reads as 0, hence as expired: a mirrored login always has one. An expired login of
    // the source replaces an expired stored one too: it is what the source has now.
    match credential.expiry().filter(|until| !until.is_over_at(now)) {
        None => Ok(ReplaceReason::StoredExpired),
        // In the future as well, since the stored one is.
        Some(until) if expires > until => Ok(ReplaceReason::SourceLater),
        Some(_) => Err(KeepReason::StoredLater),
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
