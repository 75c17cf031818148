//! The output formats of answers with many rows.

use clap::Args;
use serde_json::{Value, json};

use super::csv;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::pager::Paging;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::table::table;
use crate::terminal::text::json_line;

/// The shape of an answer, for programs.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct ShapeArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Print a JSON document a line, as they are found
    #[arg(long)]
    jsonl: bool,
    /// Print comma-separated values with a header (RFC 4180)
    #[arg(long)]
    csv: bool,
}

/// Whether a long answer goes through a pager.
#[derive(Debug, Default, Args)]
pub(crate) struct PagingArgs {
    /// Print everything at once, not through a pager (CLAWKEEP_PAGER, PAGER)
    #[arg(long)]
    no_pager: bool,
}

impl PagingArgs {
    pub(crate) fn paging(&self) -> Paging {
        match self.no_pager || is_called_as_gateway() {
            true => Paging::Never,
            false => Paging::AsNeeded,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Table,
    Json,
    JsonLines,
    Csv,
}

impl ShapeArgs {
    pub(crate) fn shape(&self) -> Shape {
        match (self.json, self.jsonl, self.csv) {
            (true, ..) => Shape::Json,
            (_, true, _) => Shape::JsonLines,
            (.., true) => Shape::Csv,
            _ => Shape::Table,
        }
    }
}

/// How rows of one kind are shown in every shape.
pub(crate) struct Rows<'r, T, const N: usize, const M: usize> {
    /// What the list is called in JSON.
    pub(crate) name: &'static str,
    /// The note if there are no rows.
    pub(crate) nothing: &'static str,
    pub(crate) header: [&'static str; N],
    /// A row's cells in the table, each one line.
    pub(crate) cells: &'r dyn Fn(&T) -> [String; N],
    /// The header of the CSV output.
    pub(crate) columns: [&'static str; M],
    /// A row's cells in CSV.
    pub(crate) csv: fn(&T) -> [String; M],
    pub(crate) json: fn(&T) -> Value,
}

impl<T, const N: usize, const M: usize> Rows<'_, T, N, M> {
    pub(crate) fn show(
        &self,
        context: &Context,
        (shape, paging): (Shape, Paging),
        found: &[T],
    ) -> Result<(), Failure> {
        match shape {
            Shape::Table => {
                let rows: Vec<[String; N]> = found.iter().map(self.cells).collect();
                let text = table(self.header, &rows, context.ui.width());
                context.ui.answer_long(&text, paging)
            }
            Shape::Json => {
                let rows: Vec<Value> = found.iter().map(self.json).collect();
                context.ui.json(&json!({self.name: rows}))
            }
            Shape::JsonLines => {
                let lines = found
                    .iter()
                    .map(|row| format!("{}\n", json_line(&(self.json)(row))));
                context.ui.write(&lines.collect::<String>())
            }
            Shape::Csv => context.ui.stream(|out| {
                let mut rows = csv::Rows::begin(out, self.columns)?;
                for row in found {
                    rows.row(&(self.csv)(row))?;
                }
                rows.end()
            }),
        }
    }
}
