//! The login of a program that only tests know: a third mirrored source.

use secrecy::SecretString;

use crate::domain::{Expiry, Owner};
use crate::sources::login::{Login, Place, Reader};
use crate::sources::wanted::{object, read};
use crate::sources::{LoggedOut, Reading};

/// How its login is read.
pub(super) const READER: Reader = Reader {
    owner: Owner::Example,
    keys: &["exampleToken"],
    find: |inputs| {
        let parse = READER.parse;
        let reading = (inputs.file)().understood(|content| parse(&content.bytes, content.modified));
        (Place::File, reading)
    },
    parse: |bytes, _| match read::<File>(bytes) {
        Ok(file) => match file.and_then(login) {
            Some(login) => Reading::Found(login),
            None => Reading::LoggedOut(LoggedOut::NoLogin),
        },
        Err(fault) => Reading::Damaged(fault),
    },
    account: |_| None,
    api_key: |_| Ok(None),
};

fn login(file: File) -> Option<Login> {
    Some(Login {
        access: file.token?,
        refresh: None,
        expires: Expiry::from_ms(file.expires?)?,
        login_expires: None,
        account: None,
    })
}

object!(File { "exampleToken" => token: SecretString, "until" => expires: f64 });
