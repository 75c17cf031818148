//! Values out of bytes, where bytes alone would seldom be one. No byte is left out of account, so
//! that a change of one is a change of the value; where they end, everything is zero.

use std::sync::Arc;

use serde_json::{Map, Value, json};

pub(super) struct Draw<'d>(&'d [u8]);

impl<'d> Draw<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(super) fn number(&mut self) -> i64 {
        match self.byte() % 4 {
            0 => i64::from(self.byte()),
            1 => i64::MAX - i64::from(self.byte()),
            2 => i64::MIN + i64::from(self.byte()),
            _ => i64::from_be_bytes(self.array()),
        }
    }

    pub(super) fn bytes(&mut self) -> &'d [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    pub(super) fn text(&mut self) -> Arc<str> {
        String::from_utf8_lossy(self.bytes()).into()
    }

    pub(super) fn optional<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() % 2 == 1).then(|| some(self))
    }

    /// A JSON value of few kinds of leaf and few keys, so that two of them often agree.
    pub(super) fn json(&mut self, keys: &[&str], depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(self.number()),
            3 => json!(u64::MAX),
            4 => json!(f64::from(self.byte()) / 4.0),
            5 => json!(-0.0),
            6 => json!(1e300),
            7 => json!(self.one_of(&["", "a", "token", "oauth", "Z.AI"])),
            8 => (0..self.below(4))
                .map(|_| self.json(keys, depth - 1))
                .collect(),
            _ => self.object(keys, depth - 1),
        }
    }

    pub(super) fn object(&mut self, keys: &[&str], depth: usize) -> Value {
        let fields: Map<String, Value> = (0..self.below(5))
            .map(|_| (self.one_of(keys).to_owned(), self.json(keys, depth)))
            .collect();
        Value::Object(fields)
    }
}
