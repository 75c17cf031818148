//! The environment as a value, and which variables carry a provider's secret.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::domain::{ProviderId, debug_as};

/// Variables that carry a provider's secret, the first that is set wins.
/// Source: `spec/compat.md`, Resolving a secret for a provider.
pub(super) const PROVIDER_VARIABLES: [(&str, &[&str]); 11] = [
    ("anthropic", &["ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"]),
    (
        "github-copilot",
        &["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"],
    ),
    ("openai", &["OPENAI_API_KEY"]),
    ("google", &["GEMINI_API_KEY"]),
    ("groq", &["GROQ_API_KEY"]),
    ("cerebras", &["CEREBRAS_API_KEY"]),
    ("xai", &["XAI_API_KEY"]),
    ("openrouter", &["OPENROUTER_API_KEY"]),
    ("minimax", &["MINIMAX_API_KEY"]),
    ("zai", &["ZAI_API_KEY"]),
    ("mistral", &["MISTRAL_API_KEY"]),
];

/// Environment variables, handed in by the program's edge. `Debug` shows how many, never a value:
/// API keys are among them.
///
/// Names and values are bytes, as the system has them. A value is read as text ([`Env::get`]) or as
/// a path ([`Env::path`]), and an empty one counts as unset.
#[derive(Clone, Default)]
pub struct Env {
    pub(super) variables: BTreeMap<OsString, OsString>,
    account_home: Option<PathBuf>,
    pub(super) from_shell: Vec<&'static str>,
    /// Whether paths are read as the reference gateway reads them.
    is_stand_in: bool,
}

debug_as!(Env, "Env({} variables)", it => it.variables.len());

impl Env {
    /// Takes pairs of name and value; of a repeated name the last counts.
    pub fn from_pairs<T: Into<OsString>>(pairs: impl IntoIterator<Item = (T, T)>) -> Self {
        let pairs = pairs.into_iter();
        Self {
            variables: (pairs.map(|(name, value)| (key(name.into()), value.into()))).collect(),
            account_home: None,
            from_shell: Vec::new(),
            is_stand_in: false,
        }
    }

    /// Takes the variables of a process, in the order in which the system lists them.
    pub fn of_process(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables: Vec<_> = variables.into_iter().collect();
        if cfg!(windows) {
            variables.reverse(); // Windows uses the first of two spellings of a name
        }
        Self::from_pairs(variables)
    }

    /// Reads the gateway's paths without surrounding space, as the reference does: for a process
    /// that stands in for it.
    #[must_use]
    pub fn of_stand_in(mut self, is_stand_in: bool) -> Self {
        self.is_stand_in = is_stand_in;
        self
    }

    /// Sets the home directory that the user database has for this user: it counts where `HOME` is
    /// not set.
    #[must_use]
    pub fn with_account_home(mut self, home: Option<PathBuf>) -> Self {
        self.account_home = home.filter(|home| home.is_absolute());
        self
    }

    /// The home directory of the user database, where it is known.
    pub(super) fn account_home(&self) -> Option<&Path> {
        self.account_home.as_deref()
    }

    /// Whether the locale's character set is UTF-8. Source: POSIX, chapter 8.2: the first of three
    /// variables that is set counts.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| self.get(name).filter(|value| !value.is_empty()));
        locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }

    /// The variables that a login shell added, by name.
    #[must_use]
    pub fn from_shell(&self) -> &[&'static str] {
        &self.from_shell
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// A variable's bytes as they stand; an empty one counts as unset.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        let value = match cfg!(windows) {
            true => self.variables.get(&key(name.into())),
            false => self.variables.get(OsStr::new(name)),
        }?;
        (!value.is_empty()).then_some(value)
    }

    /// A variable's text as it stands; an empty one counts as unset, and so does one that is not
    /// UTF-8. `Layout::resolve` refuses the latter where it would have decided something.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name)?.to_str()
    }

    /// A variable's text without surrounding space; one of nothing but space counts as unset.
    #[must_use]
    pub fn trimmed(&self, name: &str) -> Option<&str> {
        self.get(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The path in a variable, byte for byte: `/a` and `/a ` are two directories. One of nothing
    /// but space counts as unset. A process that stands in for the gateway leaves out the space
    /// around the gateway's own variables.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&Path> {
        let value = self.raw(name)?;
        let trimmed = value
            .to_str()
            .map_or_else(|| trim(value), |text| OsStr::new(text.trim()));
        // The reference takes HOME from the system, and knows none of ours.
        let is_gateways = name != "HOME" && name != "USERPROFILE" && !name.starts_with("CLAWKEEP_");
        let path = if self.is_stand_in && is_gateways {
            trimmed
        } else {
            value
        };
        (!trimmed.is_empty()).then_some(Path::new(path))
    }

    /// Whether a switch is on: `1`, `true`, `yes` or `on` in any case, as in the reference.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.trimmed(name).is_some_and(|value| {
            matches!(value.to_lowercase().as_str(), "1" | "true" | "yes" | "on")
        })
    }
}

/// The name under which a variable is kept: Windows ignores the case of names (`Path` is `PATH`).
pub(super) fn key(mut name: OsString) -> OsString {
    if cfg!(windows) {
        name.make_ascii_uppercase();
    }
    name
}

/// A value that is not text, without the ASCII space around it.
#[cfg(unix)]
fn trim(value: &OsStr) -> &OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    OsStr::from_bytes(value.as_bytes().trim_ascii())
}

#[cfg(not(unix))]
fn trim(value: &OsStr) -> &OsStr {
    value
}

/// A secret for a provider, found in the environment. `Debug` shows the variable's name only.
#[derive(Clone, Copy)]
pub struct ProviderVariable<'a> {
    /// The name of the environment variable.
    pub name: &'static str,
    value: &'a str,
    from_shell: bool,
}

debug_as!(ProviderVariable<'_>, "ProviderVariable({})", it => it.name);

impl<'a> ProviderVariable<'a> {
    /// The secret in the clear, trimmed, never empty.
    #[must_use]
    pub fn expose_secret(&self) -> &'a str {
        self.value
    }

    /// Where it was found, in the reference's words.
    #[must_use]
    pub fn source(&self) -> String {
        let place = if self.from_shell { "shell env" } else { "env" };
        format!("{place}: {}", self.name)
    }

    /// Whether the variable carries an OAuth token rather than an API key.
    #[must_use]
    pub fn is_oauth(&self) -> bool {
        self.name.contains("OAUTH")
    }
}

/// The secret that the environment has for `provider`.
#[must_use]
pub fn provider_variable<'a>(env: &'a Env, provider: &ProviderId) -> Option<ProviderVariable<'a>> {
    provider_variables(provider).iter().find_map(|&name| {
        env.trimmed(name).map(|value| ProviderVariable {
            name,
            value,
            from_shell: env.from_shell.contains(&name),
        })
    })
}

/// The variables that may carry `provider`'s secret, first choice first; empty where it has none.
#[must_use]
pub fn provider_variables(provider: &ProviderId) -> &'static [&'static str] {
    PROVIDER_VARIABLES
        .iter()
        .find(|(id, _)| *id == provider.as_str())
        .map_or(&[], |(_, names)| names)
}

/// Every provider that has a variable.
pub fn providers_with_variables() -> impl Iterator<Item = ProviderId> {
    PROVIDER_VARIABLES.iter().map(|(id, _)| ProviderId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_pairs(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_bytes_and_text_is_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let pairs = [
            ("A", &b" /caf\xe9 "[..]),
            ("B", b" \t"),
            ("C", b" /a b\n%\"' "),
            ("D", b""),
            ("\u{e9}", b"/x"),
        ];
        let bytes = |text: &[u8]| OsStr::from_bytes(text).to_owned();
        let env =
            Env::from_pairs(pairs.map(|(name, value)| (bytes(name.as_bytes()), bytes(value))));
        let path = |name| env.path(name).map(|path| path.as_os_str().as_bytes());
        assert_eq!(path("A"), Some(&b" /caf\xe9 "[..]));
        assert_eq!((path("B"), path("D"), path("E")), (None, None, None));
        assert_eq!(path("C"), Some(&b" /a b\n%\"' "[..]));
        let gateway = env.clone().of_stand_in(true);
        let path = |name| gateway.path(name).map(|path| path.as_os_str().as_bytes());
        assert_eq!(path("A"), Some(&b"/caf\xe9"[..]));
        assert_eq!((path("B"), path("D"), path("E")), (None, None, None));
        assert_eq!(path("C"), Some(&b"/a b\n%\"'"[..]));
        assert_eq!((env.get("A"), env.trimmed("A")), (None, None));
        assert_eq!(env.raw("A"), Some(OsStr::from_bytes(b" /caf\xe9 ")));
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let env = env(&[("A", ""), ("B", "  "), ("C", " x ")]);
        assert_eq!((env.get("A"), env.get("D")), (None, None));
        assert_eq!(
            (env.trimmed("B"), env.trimmed("C"), env.get("C")),
            (None, Some("x"), Some(" x "))
        );
    }

    #[test]
    fn windows_ignores_the_case_of_names() {
        let env = env(&[("Path", "a"), ("path", "b"), ("Openai_Api_Key", "k")]);
        let openai = provider_variable(&env, &ProviderId::new("openai"));
        let found = (env.get("PATH"), env.get("Path"), openai.map(|key| key.name));
        let want = match cfg!(windows) {
            true => (Some("b"), Some("b"), Some("OPENAI_API_KEY")),
            false => (None, Some("a"), None),
        };
        assert_eq!(found, want);
    }

    #[test]
    fn the_first_variable_that_is_set_wins() {
        let env = env(&[
            ("ANTHROPIC_API_KEY", "key"),
            ("ANTHROPIC_OAUTH_TOKEN", " oat "),
            ("COPILOT_GITHUB_TOKEN", " "),
            ("GITHUB_TOKEN", "gho"),
        ]);
        let found = |provider: &str| provider_variable(&env, &ProviderId::new(provider));
        let anthropic = found("Anthropic").unwrap();
        assert_eq!(
            (
                anthropic.name,
                anthropic.expose_secret(),
                anthropic.is_oauth()
            ),
            ("ANTHROPIC_OAUTH_TOKEN", "oat", true)
        );
        let got = found("github-copilot").map(|variable| variable.name);
        assert_eq!(got, Some("GITHUB_TOKEN"));
        assert!(found("openai").is_none() && found("nobody").is_none());
    }

    #[test]
    fn nothing_prints_a_value() {
        let env = env(&[("OPENAI_API_KEY", "sk-secret")]);
        let found = provider_variable(&env, &ProviderId::new("openai")).unwrap();
        let got = format!("{env:?} {found:?}");
        assert_eq!(got, "Env(1 variables) ProviderVariable(OPENAI_API_KEY)");
    }
}
