//! The text format of Prometheus: one family of samples after another.

use clawkeep::internal::domain::UnixMs;

use crate::terminal::text::one_line;

/// The labels of a sample, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// One sample of a family: its labels and its value as it is written.
pub(super) type Sample = (Labels, String);

/// A page in the text format, version 0.0.4. Source: Prometheus' documentation, Exposition formats.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// A page that begins with a comment.
    pub(super) fn new(comment: &str) -> Self {
        let text = format!("{comment}\n");
        Self { text }
    }

    /// Adds a family of gauges, without its `clawkeep_`; nothing if it has no sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let name = format!("clawkeep_{name}");
        self.text
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (labels, value) in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", label_value(value)))
                .collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            self.text.push_str(&format!("{name}{labels} {value}\n"));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A time as the value of a sample: seconds since the epoch.
pub(super) fn seconds(at: UnixMs) -> String {
    let sign = if at.0 < 0 { "-" } else { "" };
    let ms = at.0.unsigned_abs();
    match ms % 1000 {
        0 => format!("{sign}{}", ms / 1000),
        rest => format!("{sign}{}.{rest:03}", ms / 1000),
    }
}

/// The value of a label: control characters and invisible ones are written as `\u…`, as everywhere.
fn label_value(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_labels_are_written_as_the_format_wants_them() {
        let mut page = Exposition::new("# a page");
        let labels = vec![
            ("profile", "a\"b\\c\nd".to_owned()),
            ("agent", "é".to_owned()),
        ];
        page.gauge("x", "What it is.", vec![(labels, "1".to_owned())]);
        page.gauge("none", "Not there.", Vec::new());
        assert_eq!(
            page.into_text(),
            "# a page\n# HELP clawkeep_x What it is.\n# TYPE clawkeep_x gauge\n\
             clawkeep_x{profile=\"a\\\"b\\\\c\\\\u000ad\",agent=\"é\"} 1\n"
        );
    }

    #[test]
    fn times_are_seconds() {
        let times = [0, 1_768_000_000_000, 1_768_000_000_050, -1_500]
            .map(|ms| seconds(UnixMs::from_ms(ms)));
        assert_eq!(times, ["0", "1768000000", "1768000000.050", "-1.500"]);
    }
}
