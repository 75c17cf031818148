//! A page of the documentation: what in it is run, and what is said to come of it.
//!
//! A ```console block is a session: lines beginning `$ ` are commands, lines beginning `> ` after
//! one continue it, and what follows is what is printed. A comment (which readers do not see) says
//! more of the block after it, or sets the stage:
//!
//! - `<!-- setup`, lines of bash, `-->`: run before what follows
//! - `<!-- file: PATH -->`: the next block is what is written to PATH, below the home
//! - `<!-- typed: TEXT -->`: what the next session's commands read on their stdin
//! - `<!-- not run: REASON -->`: the next block is not run

/// A part of a page.
pub(crate) enum Part {
    /// Bash that readers do not see.
    Setup(String),
    /// A file, relative to the home.
    File { path: String, text: String },
    /// Commands, what each prints, and what they read.
    Session {
        steps: Vec<Step>,
        typed: Option<String>,
    },
    /// A block that is not run.
    NotRun { first: String, reason: String },
}

/// A command of a session.
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) expected: String,
    /// The lines of the page, counted from 0, that the expected output takes: from, to but not
    /// including.
    pub(crate) output: (usize, usize),
}

/// What a comment says of the block after it.
#[derive(Default)]
struct Said {
    file: Option<String>,
    typed: Option<String>,
    not_run: Option<String>,
}

/// The parts of a page. A block that is neither run nor marked fails the test.
pub(crate) fn parts(page: &str, name: &str) -> Vec<Part> {
    let lines: Vec<&str> = page.lines().collect();
    let mut parts = Vec::new();
    let mut said = Said::default();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let place = format!("{name}:{}", at + 1);
        if line == "<!-- setup" {
            let end = find(&lines, at, "-->", &place);
            parts.push(Part::Setup(lines[at + 1..end].join("\n")));
            at = end;
        } else if let Some(comment) = comment(line) {
            said.hear(comment, &place);
        } else if let Some(language) = line.strip_prefix("```") {
            let end = find(&lines, at, "```", &place);
            let block = Block {
                lines: &lines[at + 1..end],
                from: at + 1,
                is_session: language == "console",
            };
            parts.push(block.part(std::mem::take(&mut said), &place));
            at = end;
        } else {
            assert!(
                !line.trim_start().starts_with("```"),
                "{place}: an indented block would not be run"
            );
        }
        at += 1;
    }
    parts
}

fn find(lines: &[&str], from: usize, end: &str, place: &str) -> usize {
    let found = lines[from + 1..].iter().position(|line| *line == end);
    from + 1 + found.unwrap_or_else(|| panic!("{place}: no {end}"))
}

fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- ")?.strip_suffix(" -->")
}

impl Said {
    fn hear(&mut self, comment: &str, place: &str) {
        let (what, text) = comment.split_once(": ").unwrap_or((comment, ""));
        let slot = match what {
            "file" => &mut self.file,
            "typed" => &mut self.typed,
            "not run" => &mut self.not_run,
            _ => panic!("{place}: an unknown comment: {comment}"),
        };
        *slot = Some(text.to_owned());
    }
}

struct Block<'p> {
    lines: &'p [&'p str],
    /// The line of the page that the first one is.
    from: usize,
    is_session: bool,
}

impl Block<'_> {
    fn part(&self, said: Said, place: &str) -> Part {
        if let Some(reason) = said.not_run {
            assert!(!reason.is_empty(), "{place}: not run, and no reason");
            let first = self.lines.first().copied().unwrap_or_default().to_owned();
            return Part::NotRun { first, reason };
        }
        if let Some(path) = said.file {
            let text = self.lines.join("\n") + "\n";
            return Part::File { path, text };
        }
        assert!(
            self.is_session,
            "{place}: a block that is neither run nor marked"
        );
        Part::Session {
            steps: self.steps(place),
            typed: said.typed,
        }
    }

    fn steps(&self, place: &str) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let next = self.from + index + 1;
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    command: command.to_owned(),
                    expected: String::new(),
                    output: (next, next),
                });
                continue;
            }
            let step = steps
                .last_mut()
                .unwrap_or_else(|| panic!("{place}: output of no command"));
            match line.strip_prefix("> ") {
                Some(more) if step.expected.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                    step.output = (next, next);
                }
                _ => {
                    step.expected.push_str(line);
                    step.expected.push('\n');
                    step.output.1 = next;
                }
            }
        }
        steps
    }
}
