//! What a secret is by its beginning: whose, and an API key or a token.

use super::CredentialType;

/// What the beginning of a secret says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The provider that gives out such secrets; `None` if several do.
    pub provider: Option<&'static str>,
    /// An API key or a token; `None` if it is of no use as either.
    pub kind: Option<CredentialType>,
    /// The secret in words: "an API key of Anthropic".
    pub what: &'static str,
}

const KEY: Option<CredentialType> = Some(CredentialType::ApiKey);
const TOKEN: Option<CredentialType> = Some(CredentialType::Token);

/// Beginnings, the longer before those that they begin with. Sources: GitHub's list of secret
/// scanning patterns; the providers' own documentation of their keys.
const BEGINNINGS: &[(&str, Option<&str>, Option<CredentialType>, &str)] = &[
    (
        "sk-ant-api03-",
        Some("anthropic"),
        KEY,
        "an API key of Anthropic",
    ),
    (
        "sk-ant-oat01-",
        Some("anthropic"),
        TOKEN,
        "a token of `claude setup-token`",
    ),
    (
        "sk-ant-ort01-",
        Some("anthropic"),
        None,
        "a refresh token of a Claude login",
    ),
    (
        "sk-ant-admin01-",
        Some("anthropic"),
        None,
        "an admin key of Anthropic",
    ),
    ("sk-proj-", Some("openai"), KEY, "an API key of OpenAI"),
    ("sk-svcacct-", Some("openai"), KEY, "an API key of OpenAI"),
    ("sk-admin-", Some("openai"), None, "an admin key of OpenAI"),
    (
        "sk-or-v1-",
        Some("openrouter"),
        KEY,
        "an API key of OpenRouter",
    ),
    ("AIza", Some("google"), KEY, "an API key of Google"),
    ("csk-", Some("cerebras"), KEY, "an API key of Cerebras"),
    ("gho_", Some("github-copilot"), TOKEN, "a token of GitHub"),
    ("ghu_", Some("github-copilot"), TOKEN, "a token of GitHub"),
    ("ghp_", Some("github-copilot"), TOKEN, "a token of GitHub"),
    (
        "github_pat_",
        Some("github-copilot"),
        TOKEN,
        "a token of GitHub",
    ),
    ("gsk_", Some("groq"), KEY, "an API key of Groq"),
    ("hf_", Some("huggingface"), KEY, "a token of Hugging Face"),
    ("nvapi-", Some("nvidia"), KEY, "an API key of NVIDIA"),
    ("pplx-", Some("perplexity"), KEY, "an API key of Perplexity"),
    ("r8_", Some("replicate"), KEY, "an API key of Replicate"),
    ("xai-", Some("xai"), KEY, "an API key of xAI"),
    ("fw_", Some("fireworks"), KEY, "an API key of Fireworks"),
    ("eyJ", None, TOKEN, "a token with an expiry (JWT)"),
];

/// What a secret is by its beginning; `None` if that says nothing.
#[must_use]
pub fn recognise_secret(secret: &str) -> Option<Recognised> {
    let secret = secret.trim();
    let mut known = BEGINNINGS.iter();
    let (_, provider, kind, what) = known.find(|(begins, ..)| secret.starts_with(begins))?;
    Some(Recognised {
        provider: *provider,
        kind: *kind,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_by_its_longest_beginning() {
        let of = |secret| recognise_secret(secret).map(|found| (found.provider, found.kind));
        assert_eq!(of(" sk-ant-api03-x"), Some((Some("anthropic"), KEY)));
        assert_eq!(of("sk-ant-oat01-x"), Some((Some("anthropic"), TOKEN)));
        assert_eq!(of("sk-ant-ort01-x"), Some((Some("anthropic"), None)));
        assert_eq!(of("sk-proj-x"), Some((Some("openai"), KEY)));
        assert_eq!(of("gho_x"), Some((Some("github-copilot"), TOKEN)));
        assert_eq!(of("eyJhbGciOi"), Some((None, TOKEN)));
        assert_eq!(of("sk-x"), None, "several providers' keys begin so");
    }
}
