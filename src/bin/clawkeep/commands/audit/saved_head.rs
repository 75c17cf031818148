//! Heads, and exported records, that the user keeps elsewhere.

use clawkeep::internal::domain::{utf8_of_utf16, without_bom};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clawkeep::internal::audit::{Direction, Event, Filter, Head};
use clawkeep::internal::client::ClientError;
use clawkeep::internal::platform::{Cause, FileError, open_regular};
use clawkeep::internal::vault::Vault;
use serde_json::Value;

use crate::failure::Failure;
use crate::failure::causes::remedy_of;
use crate::record::json;

/// The largest head in JSON, in bytes.
const TAIL: u64 = 4096;
/// The remedy when no head can be read.
const NAME_A_HEAD: &str =
    "Name a file that can be read, which `clawkeep audit head` or `clawkeep audit export` wrote.";

/// The content of `--head FILE`.
pub(crate) struct SavedHead {
    pub(crate) path: PathBuf,
    pub(crate) head: Head,
    /// Whether `audit export` wrote it.
    pub(crate) is_export: bool,
}

pub(crate) struct Compared {
    pub(crate) same: u64,
    /// How many events were pruned from the record since.
    pub(crate) pruned: u64,
}

impl SavedHead {
    /// Reads a head that `audit head` printed, or the one at the end of what `audit export` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut file = open(path)?;
        let mut read = || -> std::io::Result<Vec<u8>> {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            (&mut file).take(TAIL).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| unreadable(path, &source))?;
        let decoded = utf8_of_utf16(&bytes);
        let bytes = without_bom(decoded.as_ref().map_or(&bytes, |text| text.as_bytes()));
        let text = String::from_utf8_lossy(bytes);
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        let of_json = |text: &str| {
            let value: Value = serde_json::from_str(text).ok()?;
            Head::parse(value.get("head")?.as_str()?)
        };
        let exported = of_json(last);
        // As `audit head` prints it, plain or as JSON.
        let head = exported
            .or_else(|| Head::parse(&text))
            .or_else(|| of_json(&text));
        Ok(Self {
            path: path.to_owned(),
            head: head.ok_or_else(|| ClientError::BadHead {
                path: path.to_owned(),
            })?,
            is_export: exported.is_some(),
        })
    }

    /// Compares every event of an export with the record's, which must have been verified.
    pub(crate) fn compare(&self, vault: &Vault) -> Result<Compared, Failure> {
        let file = open(&self.path)?;
        let pruned_to = vault.checkpoint()?.map_or(0, |pruned| pruned.last.0);
        let oldest_first = Filter::default().direction(Direction::OldestFirst);
        let mut events = vault.history(&oldest_first)?.peekable();
        let mut compared = Compared { same: 0, pruned: 0 };
        let mut before: Option<i64> = None;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|source| unreadable(&self.path, &source))?;
            let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
            if parsed.get("head").is_some() {
                break;
            }
            let seq = parsed.get("seq").and_then(Value::as_i64);
            let seq =
                seq.ok_or_else(|| self.differs(format!("after event {}", before.unwrap_or(0))))?;
            // The export lacks events that the record has between two lines.
            while let Some(event) = events.next_if(|event| is_before(event, seq)) {
                let event = event?;
                if before.is_some_and(|before| before < event.seq.0) {
                    return Err(self.differs(format!("event {} is missing there", event.seq)));
                }
            }
            let recorded = events
                .next_if(|event| is_before(event, seq + 1))
                .transpose()?;
            match recorded.map(|event| json::event(&event).to_string()) {
                Some(recorded) if recorded == line => compared.same += 1,
                None if seq <= pruned_to => compared.pruned += 1,
                _ => return Err(self.differs(format!("event {seq} is another there"))),
            }
            before = Some(seq);
        }
        if before.is_some_and(|before| before != self.head.seq.0) {
            return Err(self.differs(format!("its last event is before {}", self.head.seq)));
        }
        Ok(compared)
    }

    fn differs(&self, how: String) -> Failure {
        Failure::ExportDiffers {
            path: self.path.clone(),
            how,
        }
    }
}

/// Whether a readable event is before a place in the record. An unreadable one is reported.
fn is_before<E>(event: &Result<Event, E>, seq: i64) -> bool {
    event.as_ref().is_ok_and(|event| event.seq.0 < seq)
}

/// Opens a regular file: a FIFO without a writer would be waited for permanently.
fn open(path: &Path) -> Result<File, Failure> {
    open_regular(path).map_err(|error| match error {
        FileError::Io { source, .. } => unreadable(path, &source),
        error => Failure::Refused {
            what: format!("cannot read the head: {error}"),
            next: NAME_A_HEAD.to_owned(),
        },
    })
}

fn unreadable(path: &Path, source: &std::io::Error) -> Failure {
    let next = match Cause::of(source, path) {
        None | Some(Cause::NotFound { .. } | Cause::Directory { .. }) => NAME_A_HEAD.to_owned(),
        Some(cause) => remedy_of(&cause),
    };
    Failure::Refused {
        what: format!("cannot read the head {}: {source}", path.display()),
        next,
    }
}
