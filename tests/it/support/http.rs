//! A request as the tests' servers read it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::time::Instant;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) user_agent: String,
    /// The fields of its body, a form's or JSON's.
    pub(crate) fields: HashMap<String, String>,
    pub(crate) at: Instant,
}

impl Request {
    /// Reads one; nothing if the client goes away before it has said all.
    pub(crate) fn read(stream: &TcpStream) -> std::io::Result<Option<Self>> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut content_type, mut user_agent) = (0, String::new(), String::new());
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "content-type" => content_type = value.trim().to_owned(),
                "user-agent" => user_agent = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let fields = if content_type == "application/json" {
            serde_json::from_slice(&body).unwrap()
        } else {
            url::form_urlencoded::parse(&body).into_owned().collect()
        };
        Ok(Some(Self {
            path,
            content_type,
            user_agent,
            fields,
            at: Instant::now(),
        }))
    }
}
