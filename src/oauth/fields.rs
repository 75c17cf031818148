//! The fields of a request, as its body has them.

use zeroize::Zeroizing;

use crate::config::Encoding;

/// The fields of a request, encoded. Overwritten when dropped; the client's own copies are not.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) body: Zeroizing<String>,
    pub(super) content_type: &'static str,
}

impl Fields {
    pub(super) fn encoded(encoding: Encoding, fields: &[(&str, &str)]) -> Self {
        match encoding {
            Encoding::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(fields);
                Self {
                    body: Zeroizing::new(form.finish()),
                    content_type: "application/x-www-form-urlencoded",
                }
            }
            Encoding::Json => {
                let quoted = |text: &str| Zeroizing::new(serde_json::Value::from(text).to_string());
                let mut body = Zeroizing::new(String::from("{"));
                for (at, (name, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        body.push(',');
                    }
                    body.push_str(&quoted(name));
                    body.push(':');
                    body.push_str(&quoted(value));
                }
                body.push('}');
                Self {
                    body,
                    content_type: "application/json",
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded() {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "a+b\"&\u{e9}"),
        ];
        assert_eq!(
            Fields::encoded(Encoding::Form, &fields).body.as_str(),
            "grant_type=refresh_token&refresh_token=a%2Bb%22%26%C3%A9"
        );
        let json = Fields::encoded(Encoding::Json, &fields);
        let read: serde_json::Value = serde_json::from_str(&json.body).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"grant_type": "refresh_token", "refresh_token": "a+b\"&\u{e9}"})
        );
    }
}
