//! Bytes to document and back.

use serde_json::error::Category;
use zeroize::Zeroizing;

use crate::domain::{StoreDoc, StoreShapeError, named, without_bom};

named! {
    /// Why bytes are no store. Never quotes them: they hold secrets.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum FormatFault {
        /// Nothing at all, or only white space.
        #[error("it is empty")]
        Empty = "empty",
        /// JSON that ends too early: torn while it was written.
        #[error("it ends in the middle, at line {line} column {column}")]
        CutShort {
            /// From 1.
            line: usize,
            /// From 0, in bytes.
            column: usize,
        } = "cut-short",
        /// Not JSON, or nested deeper than 128 levels.
        #[error("it is not JSON from line {line} column {column} on")]
        NotJson {
            /// From 1.
            line: usize,
            /// From 0, in bytes.
            column: usize,
        } = "not-json",
        /// The file is JSON, but not a store.
        #[error(transparent)]
        Shape(#[from] StoreShapeError) = "no-store",
    }
}

/// Parses the text of a store file. A byte-order mark in front is passed over.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(bytes: &[u8]) -> Result<StoreDoc, FormatFault> {
    let bytes = without_bom(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(FormatFault::Empty);
    }
    let root = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Eof => FormatFault::CutShort { line, column },
            _ => FormatFault::NotJson { line, column },
        }
    })?;
    Ok(StoreDoc::from_json(root)?)
}

/// The bytes of a store file: [`StoreDoc::to_file`].
#[must_use]
pub fn render(doc: &StoreDoc) -> Zeroizing<Vec<u8>> {
    doc.to_file()
}

/// The store's name in an agent directory. Source: `spec/compat.md`, Paths.
pub(super) const STORE_NAME: &str = "auth-profiles.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_comes_back_as_it_was() {
        let text = "{\n  \"version\": 1,\n  \"x\": 1.5,\n  \"profiles\": {\n    \"b\": \
            {\n      \"n\": null\n    },\n    \"a\": 3\n  }\n}\n";
        let found = render(&parse(text.as_bytes()).unwrap());
        assert_eq!(found.as_slice(), text.as_bytes());
    }

    #[test]
    fn faults_say_where_and_never_what() {
        let deep = "[".repeat(10_000);
        for (bytes, name) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"{\"profiles\": {\"a\": \"sk-secr", "cut-short"),
            (b"{\"profiles\": sk-secret}", "not-json"),
            (b"\xff\xfe{}", "not-json"),
            (b"{\"profiles\": {}} sk-secret", "not-json"),
            (b"[]", "no-store"),
            (b"{}", "no-store"),
            (deep.as_bytes(), "not-json"),
        ] {
            let fault = parse(bytes).unwrap_err();
            assert_eq!(fault.as_str(), name);
            assert!(!format!("{fault} {fault:?}").contains("sk-"));
        }
        assert!(parse(b"\xef\xbb\xbf{\"profiles\": {}}").is_ok());
    }
}
