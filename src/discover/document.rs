//! Credentials in a JSON document, as the table describes its entries.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use serde_json::Value;

use super::entry::{Entry, is_reference};
use super::lines::variable;
use crate::config::{provider_of_variable, provider_variables};
use crate::domain::{
    AccountField, CredentialType, Entries, Expiry, ExpiryField, ProviderField, ProviderId,
    SecretJson, jwt_claims, jwt_expiry, recognise_secret,
};
use crate::sources::{FileReading, read_json};
use crate::sync::read_source;

/// The file that a document comes from.
pub(super) struct Origin<'o> {
    pub(super) path: &'o Path,
    /// The file that names the account, if the layout knows one.
    pub(super) account_file: Option<&'o Path>,
    /// Its name, if it is one of several.
    pub(super) name: String,
    pub(super) modified: SystemTime,
}

/// Reads the credentials of a document.
pub(super) fn read_entries(
    document: &SecretJson,
    entries: &Entries,
    origin: &Origin<'_>,
) -> Vec<Entry> {
    let mut read = Vec::new();
    walk(
        document.expose_secret(),
        entries.at,
        &origin.name,
        &mut |name, value| {
            if entries.secret == Some("*") {
                let fields = value.as_object().into_iter().flatten();
                let texts = fields.filter_map(|(name, value)| Some((name, value.as_str()?)));
                read.extend(texts.filter_map(|(name, text)| variable(name, text)));
            } else {
                read.extend(entry(entries, name, value, origin));
            }
        },
    );
    read
}

/// Calls `visit` with each value that the keys lead to, and with the last key of each.
fn walk(value: &Value, keys: &[&str], name: &str, visit: &mut dyn FnMut(&str, &Value)) {
    let Some((key, rest)) = keys.split_first() else {
        return visit(name, value);
    };
    match (*key, value) {
        ("*", Value::Object(fields)) => {
            for (name, value) in fields.iter().filter(|(name, _)| !is_remark(name)) {
                walk(value, rest, name, visit);
            }
        }
        ("*", Value::Array(items)) => {
            for value in items {
                walk(value, rest, name, visit);
            }
        }
        (key, value) => {
            if let Some(value) = value.get(key) {
                // A key after a `*` says what it is, and the name stays the one of the `*`.
                walk(value, rest, name, visit);
            }
        }
    }
}

fn entry(entries: &Entries, name: &str, value: &Value, origin: &Origin<'_>) -> Option<Entry> {
    let text = |field: &str| {
        let text = value.get(field)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    };
    let secret = match entries.secret {
        Some(field) => text(field)?,
        None => value
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty())?,
    };
    let refresh = entries.refresh.and_then(text);
    let alias = provider_of_alias(name, secret);
    let (provider, is_for_server, name) = match entries.provider {
        ProviderField::Fixed(provider) => (Some(provider), false, name),
        ProviderField::Alias => (alias.as_deref(), false, name),
        ProviderField::Key => (Some(name), false, name),
        ProviderField::Field(field) => (Some(text(field).unwrap_or(name)), false, name),
        ProviderField::Server(field) => (None, true, text(field).unwrap_or(name)),
    };
    let provider = provider.filter(|provider| !provider.is_empty());
    let name = match name.is_empty() {
        // What leads to it are fixed words, or an array.
        true => text("title").or(provider).unwrap_or(name),
        false => name,
    };
    let is_login = entries.refresh.is_some();
    let kind = match recognise_secret(secret).and_then(|known| known.kind) {
        _ if refresh.is_some() => CredentialType::OAuth,
        _ if is_login || entries.expires != ExpiryField::None => CredentialType::Token,
        Some(kind) => kind,
        None => CredentialType::ApiKey,
    };
    Some(Entry {
        name: name.to_owned(),
        provider: provider.map(str::to_owned),
        is_for_server,
        account: account(entries.account, value, origin),
        kind,
        expires: expiry(entries.expires, value, secret, origin),
        login_expires: (entries.login_expires)
            .and_then(|field| after_epoch(Expiry::from_json(value.get(field)))),
        is_reference: is_reference(secret)?,
        secret: SecretString::from(secret),
        refresh: refresh.map(SecretString::from),
    })
}

/// The provider of a key with a name that a person chose: the one that the key shows, else the one
/// that the name is known for.
fn provider_of_alias(name: &str, secret: &str) -> Option<String> {
    if let Some(provider) = recognise_secret(secret).and_then(|known| known.provider) {
        return Some(provider.to_owned());
    }
    let variable = format!("{}_API_KEY", name.trim().to_ascii_uppercase());
    let provider = provider_of_variable(&variable)?;
    let is_known = !provider_variables(&ProviderId::new(&provider)).is_empty();
    is_known.then_some(provider)
}

/// Whether a key of a document leads to a remark.
fn is_remark(name: &str) -> bool {
    name.trim_start().starts_with("//") || name.trim_start().starts_with('#')
}

fn after_epoch(expiry: Option<Expiry>) -> Option<Expiry> {
    expiry.filter(|expiry| expiry.ms() > 0.0)
}

fn expiry(field: ExpiryField, value: &Value, secret: &str, origin: &Origin<'_>) -> Option<Expiry> {
    let number = |field: &str| value.get(field).and_then(Value::as_f64);
    let after_written = |seconds: f64| {
        let written = origin.modified.duration_since(UNIX_EPOCH).ok()?;
        Some((written.as_secs_f64() + seconds) * 1000.0)
    };
    let ms = match field {
        ExpiryField::None => return None,
        ExpiryField::Jwt => return jwt_expiry(secret),
        ExpiryField::Ms(field) => number(field)?,
        ExpiryField::Seconds(field) => number(field)? * 1000.0,
        ExpiryField::SecondsAfterWritten(field) => after_written(number(field)?)?,
        ExpiryField::MsElseAfterWritten(ms, after) => match number(ms) {
            Some(ms) => ms,
            None => after_written(number(after)?)?,
        },
    };
    after_epoch(Expiry::from_ms(ms))
}

fn account(field: AccountField, value: &Value, origin: &Origin<'_>) -> Option<String> {
    let found = match field {
        AccountField::None => return None,
        AccountField::Field(field) => value.get(field)?.as_str()?.to_owned(),
        AccountField::Token(field) => {
            let claims = jwt_claims(value.get(field)?.as_str()?)?;
            claims.get("email")?.as_str()?.to_owned()
        }
        AccountField::Beside(name, keys) => {
            let beside = origin.path.with_file_name(name);
            let path = origin.account_file.unwrap_or(&beside);
            let document = match read_source(path) {
                FileReading::Content(content) => read_json(&content.bytes).ok()?,
                _ => return None,
            };
            let mut value = document.expose_secret();
            for key in keys {
                value = value.get(key)?;
            }
            value.as_str()?.to_owned()
        }
    };
    (!found.trim().is_empty()).then_some(found)
}
