//! How a profile is named in a chart and on a page.

use clawkeep::internal::audit::ProfileRef;
use unicode_width::UnicodeWidthStr as _;

use crate::terminal::table::first_columns;
use crate::terminal::text::one_line;

/// A profile as `history` names it: the agent in front unless it is the main one. Safe to print.
pub(crate) fn name(whose: &ProfileRef) -> String {
    let agent = whose.agent.as_deref().filter(|agent| *agent != "main");
    match agent {
        Some(agent) => one_line(&format!("{agent}/{}", whose.id)),
        None => one_line(&whose.id),
    }
}

/// A text of at most so many columns. The middle goes: ids tend to differ at their ends.
pub(crate) fn cut_middle(text: &str, most: usize, mark: char) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let head = first_columns(text.chars(), kept - kept / 2);
    let tail: Vec<char> = first_columns(text.chars().rev(), kept / 2).collect();
    let mark = std::iter::once(mark).take(most);
    head.chain(mark).chain(tail.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_agent_goes_without_saying() {
        let whose = |agent: Option<&str>| ProfileRef {
            agent: agent.map(Into::into),
            id: "a:b\u{1b}\u{202e}".into(),
        };
        assert_eq!(name(&whose(None)), r"a:b\u001b\u202e");
        assert_eq!(name(&whose(Some("main"))), r"a:b\u001b\u202e");
        assert_eq!(name(&whose(Some("work"))), r"work/a:b\u001b\u202e");
    }

    #[test]
    fn the_middle_of_a_long_name_goes() {
        assert_eq!(cut_middle("abcdef", 6, '…'), "abcdef");
        assert_eq!(cut_middle("abcdefg", 6, '…'), "abc…fg");
        assert_eq!(cut_middle("abcdefg", 1, '…'), "…");
        assert_eq!(cut_middle("abcdefg", 0, '…'), "");
        assert_eq!(cut_middle("漢字漢字", 6, '…'), "漢…字");
    }
}
