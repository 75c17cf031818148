//! A line of a crontab. Source: crontab(5).

use crate::advice::shell_word;

use super::job::{EVERY_MINUTES, Job};

pub(crate) fn objection(job: &Job) -> Option<String> {
    let mut texts = match job.texts() {
        Ok(texts) => texts,
        Err(word) => return Some(super::job::not_text("a crontab's line", word)),
    };
    texts.push(&job.program);
    let any = |is_so: fn(&&str) -> bool| texts.iter().copied().any(|text| is_so(&text));
    if any(|text| text.contains(char::is_control)) {
        return Some(
            "a crontab's line has no control characters, and a path that is handed on does"
                .to_owned(),
        );
    }
    // `\%` is a `%` to cron, which knows no other escape.
    any(|text| text.contains("\\%")).then(|| {
        "a crontab's line cannot have \\ before %, as a path that is handed on does".to_owned()
    })
}

/// The crontab line of the job. cron mails what a job prints, so the job prints only errors.
pub(crate) fn line(job: &Job) -> String {
    let variables = job.variables.iter();
    let variables =
        variables.map(|(name, value)| format!("{name}={}", shell_word(&value.to_string_lossy())));
    let program = [shell_word(&job.program), "-q".to_owned()];
    let words: Vec<String> = variables
        .chain(program)
        .chain(job.words().map(|text| word(&text.to_string_lossy())))
        .collect();
    // To cron, before any shell sees it, `%` ends the command.
    format!(
        "*/{EVERY_MINUTES} * * * * {} >/dev/null",
        words.join(" ").replace('%', "\\%")
    )
}

/// Quotes a word for a shell; an option stays as it is.
fn word(word: &str) -> String {
    match word.strip_prefix("--") {
        Some(option) if shell_word(option) == option => word.to_owned(),
        _ => shell_word(word),
    }
}
