//! Which models the gateway is configured to use: that says which providers are in use.

use serde_json::{Map, Value};

use crate::domain::ProviderId;

/// The model of a gateway without a configured one. Source: the `status` conformance cases.
const DEFAULT_MODEL: (&str, &str) = ("anthropic", "claude-opus-4-5");
/// The provider of a model named without one. Source: as above.
const DEFAULT_PROVIDER: &str = "anthropic";
/// Aliases of listed models without their own. Source: the reference's defaults of 2026-01-09.
const BUILT_IN_ALIASES: [(&str, &str); 6] = [
    ("opus", "anthropic/claude-opus-4-5"),
    ("sonnet", "anthropic/claude-sonnet-4-5"),
    ("gpt", "openai/gpt-5.2"),
    ("gpt-mini", "openai/gpt-5-mini"),
    ("gemini", "google/gemini-3-pro-preview"),
    ("gemini-flash", "google/gemini-3-flash-preview"),
];

/// A model and the provider that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRef {
    /// The provider of the model.
    pub provider: ProviderId,
    /// The provider's name for the model.
    pub model: String,
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

impl ModelRef {
    /// Reads `provider/model`, cut at the first `/`; without one the provider is Anthropic. `None`
    /// when either part is empty.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        let (provider, model) = raw.split_once('/').unwrap_or((DEFAULT_PROVIDER, raw));
        let (provider, model) = (ProviderId::new(provider), model.trim());
        (!provider.as_str().is_empty() && !model.is_empty()).then(|| Self {
            provider,
            model: model.to_owned(),
        })
    }
}

/// A first choice and what to fall back to, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelChoice {
    /// The first choice, trimmed, not empty.
    pub primary: Option<String>,
    /// What is tried after it, in order.
    pub fallbacks: Vec<String>,
}

impl ModelChoice {
    /// Reads a string or `{primary, fallbacks}`.
    pub(super) fn read(value: Option<&Value>) -> Self {
        let Some(value) = value else {
            return Self::default();
        };
        let primary = value
            .as_str()
            .or_else(|| value.get("primary")?.as_str())
            .map(str::trim);
        let fallbacks = value
            .get("fallbacks")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Self {
            primary: primary.filter(|model| !model.is_empty()).map(str::to_owned),
            fallbacks: fallbacks
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Every model named, the first choice first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.primary
            .iter()
            .chain(&self.fallbacks)
            .map(String::as_str)
    }
}

/// A model of the allow list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// The model as written, usually `provider/model`.
    pub key: String,
    /// Its alias, its own or a built-in one; not empty.
    pub alias: Option<String>,
}

/// The models of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// The chosen model for text.
    pub text: ModelChoice,
    /// The chosen model for images.
    pub image: ModelChoice,
    /// The allow list in its order; empty means every model.
    pub listed: Vec<ListedModel>,
}

impl Models {
    pub(super) fn read(defaults: Option<&Value>) -> Self {
        let field = |name: &str| defaults.and_then(|fields| fields.get(name));
        Self {
            text: ModelChoice::read(field("model")),
            image: ModelChoice::read(field("imageModel")),
            listed: field("models")
                .and_then(Value::as_object)
                .map(listed)
                .unwrap_or_default(),
        }
    }

    /// The model of the gateway's first choice.
    #[must_use]
    pub fn default_ref(&self) -> ModelRef {
        let fallback = |model: &str| ModelRef {
            provider: ProviderId::new(DEFAULT_PROVIDER),
            model: model.to_owned(),
        };
        match &self.text.primary {
            Some(raw) => self.resolve(raw).unwrap_or_else(|| fallback(raw)),
            None => ModelRef {
                provider: ProviderId::new(DEFAULT_MODEL.0),
                model: DEFAULT_MODEL.1.to_owned(),
            },
        }
    }

    /// What a model's name means: an alias where it has no `/` and is one (in any case), else
    /// [`ModelRef::parse`].
    #[must_use]
    pub fn resolve(&self, raw: &str) -> Option<ModelRef> {
        let wanted = raw.trim().to_lowercase();
        let aliased = self.listed.iter().rev().find(|model| {
            !wanted.contains('/')
                && model
                    .alias
                    .as_ref()
                    .is_some_and(|alias| alias.to_lowercase() == wanted)
        });
        aliased
            .and_then(|model| ModelRef::parse(&model.key))
            .or_else(|| ModelRef::parse(raw))
    }
}

fn listed(models: &Map<String, Value>) -> Vec<ListedModel> {
    let entries = models.iter().map(|(key, entry)| {
        let alias = match entry.get("alias") {
            // An alias that is there, even an empty one, keeps the built-in one away.
            Some(own) => own
                .as_str()
                .map(str::trim)
                .filter(|alias| !alias.is_empty()),
            None => BUILT_IN_ALIASES
                .iter()
                .find(|(_, model)| model == key)
                .map(|(alias, _)| *alias),
        };
        ListedModel {
            key: key.clone(),
            alias: alias.map(str::to_owned),
        }
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_is_cut_at_the_first_slash() {
        let parse = |raw| ModelRef::parse(raw).map(|model| model.to_string());
        let found = parse(" OpenRouter / meta/llama ");
        assert_eq!(found.as_deref(), Some("openrouter/meta/llama"));
        assert_eq!(parse("Z.AI/glm-4.7").as_deref(), Some("zai/glm-4.7"));
        let found = parse("claude-opus-4-5");
        assert_eq!(found.as_deref(), Some("anthropic/claude-opus-4-5"));
        assert_eq!((parse("/x"), parse("x/ "), parse("  ")), (None, None, None));
    }

    #[test]
    fn a_choice_is_a_string_or_an_object() {
        let both = ModelChoice {
            primary: Some("a/b".to_owned()),
            fallbacks: vec!["c/d".to_owned()],
        };
        let found = ModelChoice::read(Some(&json!({"primary": " a/b ", "fallbacks": ["c/d", 3]})));
        assert_eq!(found, both);
        assert_eq!(ModelChoice::read(Some(&json!("a/b"))).primary, both.primary);
        for odd in [
            json!(null),
            json!(3),
            json!({"primary": 3}),
            json!(" "),
            json!({"fallbacks": "x"}),
        ] {
            let found = ModelChoice::read(Some(&odd));
            assert_eq!(found, ModelChoice::default(), "{odd}");
        }
    }

    #[test]
    fn aliases_own_and_built_in() {
        let models = Models::read(Some(&json!({
            "model": "Fast",
            "models": {
                "openai/gpt-5.2": {},
                "anthropic/claude-opus-4-5": {"alias": "Big"},
                "anthropic/claude-sonnet-4-5": {"alias": ""},
                "groq/llama": {"alias": " fast "},
                "x/y": null,
            },
        })));
        let aliases: Vec<_> = models
            .listed
            .iter()
            .map(|model| model.alias.as_deref())
            .collect();
        assert_eq!(
            aliases,
            [Some("gpt"), Some("Big"), None, Some("fast"), None]
        );
        assert_eq!(models.default_ref().to_string(), "groq/llama");
        assert_eq!(models.resolve("GPT").unwrap().to_string(), "openai/gpt-5.2");
        let found = models.resolve("opus").unwrap().to_string();
        assert_eq!(found, "anthropic/opus");
        let found = Models::default().default_ref().to_string();
        assert_eq!(found, "anthropic/claude-opus-4-5");
    }
}
