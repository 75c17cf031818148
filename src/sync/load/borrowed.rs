//! Logins that were imported as another program's: its file is read again at every load, so that a
//! newer token there arrives.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use crate::domain::{
    Borrowed, Credential, ProfileId, SecretJson, Section, StoreDoc, UnixMs, path_of_text,
};
use crate::health::{AsOf, Status, assess};
use crate::sources::FileReading;
use crate::sync::context::SyncMode;
use crate::sync::import::join::why_unusable;
use crate::sync::import::{ImportFault, ImportFile};
use crate::sync::logins::whole_file::{read_once_written, read_source};
use crate::sync::notice::LendingFault::Unusable;
use crate::sync::notice::{LendingFault, Notice};

/// A newer login in the owner's file.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) profile: String,
    pub(crate) entry: SecretJson,
    /// The refresh token that stays with its owner.
    pub(crate) lent: Option<SecretString>,
}

/// Finds what the files of borrowed logins have that differs from `doc`. What cannot be read
/// changes nothing and is reported.
pub(crate) fn borrowed_updates(
    doc: &StoreDoc,
    borrowed: &BTreeMap<String, Borrowed>,
    mode: SyncMode,
    now: UnixMs,
    notices: &mut Vec<Notice>,
) -> Vec<Update> {
    let mut updates = Vec::new();
    if mode == SyncMode::Off {
        return updates;
    }
    let mut files: BTreeMap<&str, Result<ImportFile, LendingFault>> = BTreeMap::new();
    for (id, from) in borrowed {
        let Some(stored) = doc.get(Section::Profiles, id) else {
            continue; // removed just now; its mark goes with it
        };
        let file = files.entry(&from.path).or_insert_with(|| read(from));
        let news = match file {
            // The program asks clawkeep for the key: it is the vault's.
            Ok(file) if file.from_clawkeep().contains(id) => continue,
            Ok(file) => news(stored, file.entry(id), now),
            Err(why) => Err(why.clone()),
        };
        match news {
            Ok(Some(entry)) => updates.push(Update {
                profile: id.clone(),
                entry,
                lent: file.as_ref().ok().and_then(|file| file.lent(id)),
            }),
            Ok(None) => {}
            Err(why) => notices.push(Notice::BorrowedUnavailable {
                profile: ProfileId::new(id),
                from: from.clone(),
                why,
            }),
        }
    }
    updates
}

/// The reason why there is nothing to read where the file is in order.
fn logged_out() -> LendingFault {
    LendingFault::LoggedOut(
        "holds no login for it any more: its program is logged out there".to_owned(),
    )
}

/// Reads the owner's file.
fn read(from: &Borrowed) -> Result<ImportFile, LendingFault> {
    let path = &path_of_text(&from.path);
    let understand = || match read_source(path) {
        FileReading::Absent => Err(Unusable("is not there any more".to_owned())),
        FileReading::Unreadable(kind) => Err(Unusable(format!("cannot be read: {kind}"))),
        FileReading::Untrusted(refusal) => Err(Unusable(format!("is not used: {refusal}"))),
        FileReading::Content(content) => {
            let file = ImportFile::understand(&content.bytes, content.modified);
            file.map(|file| file.lend(from.clone()))
                .map_err(|fault| match fault {
                    ImportFault::Blank => logged_out(),
                    fault @ ImportFault::LoggedOut(_) => {
                        LendingFault::LoggedOut(format!("cannot be used: {fault}"))
                    }
                    fault => Unusable(format!("cannot be used: {fault}")),
                })
        }
    };
    read_once_written(path, Result::is_err, understand)
}

/// The entry that takes the stored one's place, if it is another. The owner's file has the say;
/// only what has expired, or is another account's, does not take the place of what is good.
fn news(
    stored: &Value,
    theirs: Option<&Value>,
    now: UnixMs,
) -> Result<Option<SecretJson>, LendingFault> {
    let Some(theirs) = theirs else {
        return Err(logged_out());
    };
    if theirs == stored {
        return Ok(None);
    }
    if why_unusable(stored, now).is_none()
        && let Some(why) = why_unusable(theirs, now)
    {
        return Err(Unusable(format!("has an entry for it that {why}")));
    }
    let has_expired =
        |entry: &Value| assess(&Credential::of(entry), AsOf::at(now)).status == Status::Expired;
    if has_expired(theirs) && !has_expired(stored) {
        return Ok(None);
    }
    let is_other = |field: &str| match (stored[field].as_str(), theirs[field].as_str()) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => false,
    };
    if ["accountId", "email", "provider"].into_iter().any(is_other) {
        return Err(Unusable(
            "holds the login of another account; to use that one, import it again".to_owned(),
        ));
    }
    Ok(Some(SecretJson::new(theirs.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_owners_file_has_the_say() {
        const NOW: i64 = 1_768_000_000_000;
        let now = UnixMs(NOW);
        let token = |token: &str, expires: i64| -> Value {
            json!({"type": "token", "provider": "p", "token": token, "expires": expires})
        };
        let of = |stored: &Value, theirs: &Value| {
            let news = news(stored, Some(theirs), now);
            news.map(|news| news.map(|news| news.expose_secret().clone()))
        };
        let found = of(&token("a", NOW + 5_000), &token("a", NOW + 5_000));
        assert_eq!(found, Ok(None));
        let earlier = token("b", NOW + 4_000);
        let found = of(&token("a", NOW + 5_000), &earlier);
        assert_eq!(found, Ok(Some(earlier)));
        let found = of(&token("a", NOW + 5_000), &token("b", NOW - 900));
        assert_eq!(found, Ok(None));
        let expired = token("b", NOW - 900);
        let found = of(&token("a", NOW - 500), &expired);
        assert_eq!(found, Ok(Some(expired.clone())));
        assert!(news(&expired, None, now).is_err());
        let good = token("a", NOW + 5_000);
        for bad in [json!(0.5), json!("tomorrow"), json!(-1), json!(9e15)] {
            let mut theirs = token("b", 0);
            theirs["expires"] = bad;
            assert!(of(&good, &theirs).is_err(), "{theirs}");
            assert_eq!(of(&theirs, &good), Ok(Some(good.clone())));
        }
        let key = |key: &str| json!({"type": "api_key", "provider": "p", "key": key});
        for bad in ["!pass show x", "", "MY_KEY"] {
            assert!(of(&key("sk-a"), &key(bad)).is_err(), "{bad}");
            assert_eq!(of(&key(bad), &key("sk-a")), Ok(Some(key("sk-a"))), "{bad}");
        }
        let account =
            |id: &str| json!({"type": "token", "provider": "p", "token": id, "accountId": id});
        assert!(of(&account("a"), &account("b")).is_err());
    }
}
