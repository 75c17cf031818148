//! Which candidate is used at last, and why those that would have come before it are not.
//!
//! Source: `spec/compat.md`, Resolving a secret for a provider; `spec/oauth.md`, One refresh.

use crate::domain::ProfileId;

/// Which of the candidates is used. `R` is a reason for passing one over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<R> {
    /// The profile that was chosen.
    pub chosen: Option<ProfileId>,
    /// Those that would have come before it, in that order, and why each is not used.
    pub passed_over: Vec<(ProfileId, R)>,
}

/// Chooses the first of `tried` for which `refuse` returns `None`. `natural` is the order without
/// cooldowns: the profiles before the chosen one in that order were passed over, because of what
/// `refuse` or else `skip` returns.
#[must_use]
pub fn choose<R>(
    tried: &[ProfileId],
    natural: &[ProfileId],
    refuse: impl Fn(&ProfileId) -> Option<R>,
    skip: impl Fn(&ProfileId) -> Option<R>,
) -> Choice<R> {
    let chosen = tried.iter().find(|id| refuse(id).is_none()).cloned();
    let before = natural.iter().take_while(|id| chosen.as_ref() != Some(id));
    let passed_over = before.filter_map(|id| {
        let why = refuse(id).or_else(|| skip(id))?;
        Some((id.clone(), why))
    });
    Choice {
        passed_over: passed_over.collect(),
        chosen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_before_the_chosen_one_was_passed_over() {
        let ids = |names: &str| {
            names
                .chars()
                .map(|name| ProfileId::new(name.to_string()))
                .collect::<Vec<_>>()
        };
        let one_of = |names: &'static str, why| {
            move |id: &ProfileId| names.contains(id.as_str()).then_some(why)
        };
        let choice = |tried: &str, refused: &'static str| {
            let choice = choose(
                &ids(tried),
                &ids("abcd"),
                one_of(refused, "expired"),
                one_of("bd", "resting"),
            );
            let passed = choice
                .passed_over
                .iter()
                .map(|(id, why)| format!("{id} {why}"));
            (
                choice.chosen.map(|id| id.as_str().to_owned()),
                passed.collect::<Vec<_>>().join(", "),
            )
        };
        let chosen = |id: &str| Some(id.to_owned());
        assert_eq!(choice("acbd", ""), (chosen("a"), String::new()));
        let found = choice("acbd", "a");
        assert_eq!(found, (chosen("c"), "a expired, b resting".to_owned()));
        let found = choice("acbd", "ac");
        let cooling = "one in cooldown, if nothing else is left";
        assert_eq!(found, (chosen("b"), "a expired".to_owned()), "{cooling}");
        let all = "a expired, b expired, c expired, d expired".to_owned();
        assert_eq!(choice("acbd", "abcd"), (None, all));
    }
}
