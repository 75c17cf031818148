//! The report as people read it, line for line the reference's.

use std::fmt;

use clawkeep::internal::domain::{CLAUDE_SETUP, Span};
use clawkeep::internal::health::Status;
use clawkeep::internal::vault::GrantState;
use serde_json::Value;

use super::Report;
use super::auth::ProviderAuth;
use super::expiry::ProfileExpiry;
use crate::terminal::colour::Colour;
use crate::terminal::palette::Tone;
use crate::terminal::text::one_line;

impl Report {
    /// What is printed without `--json` and `--plain`. Sections are a blank line apart.
    pub(crate) fn to_text(&self, colour: Colour) -> String {
        let mut sections = vec![self.models(), self.overview()];
        sections.extend(self.missing());
        sections.push(self.expiries(colour));
        sections.extend(self.damage());
        sections.join("\n")
    }

    fn damage(&self) -> Option<String> {
        let lines = self.damaged.iter().map(|id| {
            let id = one_line(id);
            format!("- {id} damaged or modified outside clawkeep; see: clawkeep doctor\n")
        });
        (!self.damaged.is_empty())
            .then(|| format!("Damaged in the vault\n{}", lines.collect::<String>()))
    }

    fn models(&self) -> String {
        let default = if self.default_model == self.resolved_default {
            self.resolved_default.clone()
        } else {
            format!("{} (from {})", self.resolved_default, self.default_model)
        };
        let aliases: Vec<_> = self
            .aliases
            .iter()
            .map(|(alias, key)| format!("{alias} -> {}", key.as_str().unwrap_or_default()))
            .collect();
        let mut out = String::new();
        out += &line("Config", &self.config_path);
        out += &line("Agent dir", &self.agent_dir_short);
        out += &line("Default", &default);
        out += &counted("Fallbacks", &self.fallbacks, "-");
        out += &line("Image model", self.image_model.as_deref().unwrap_or("-"));
        out += &counted("Image fallbacks", &self.image_fallbacks, "-");
        out += &counted("Aliases", &aliases, "-");
        out += &counted("Configured models", &self.allowed, "all");
        out
    }

    fn overview(&self) -> String {
        let mut out = String::from("Auth overview\n");
        out += &line("Auth store", &self.store_path_short);
        out += &line("Shell env", &self.shell_env());
        out += &counted(
            "Providers w/ OAuth/tokens",
            &self.providers_with_oauth(),
            "-",
        );
        out.extend(self.providers.iter().map(provider_line));
        out
    }

    fn shell_env(&self) -> String {
        let state = if self.shell_env_enabled { "on" } else { "off" };
        match self.shell_keys.as_slice() {
            [] => state.to_owned(),
            keys => format!("{state} (applied: {})", keys.join(", ")),
        }
    }

    fn missing(&self) -> Option<String> {
        let hint = |provider: &str| match provider {
            "anthropic" => format!("Run `{CLAUDE_SETUP}` or `clawdbot configure`."),
            _ => "Run `clawdbot configure` or set an API key env var.".to_owned(),
        };
        let lines = self
            .missing_in_use
            .iter()
            .map(|provider| format!("- {provider} {}\n", hint(provider)));
        (!self.missing_in_use.is_empty())
            .then(|| format!("Missing auth\n{}", lines.collect::<String>()))
    }

    fn expiries(&self, colour: Colour) -> String {
        let lines: String = self
            .expirable()
            .map(|profile| expiry_line(profile, colour))
            .collect();
        let lines = if lines.is_empty() { "- none\n" } else { &lines };
        format!("OAuth/token status\n{lines}")
    }
}

fn line(label: impl fmt::Display, value: &str) -> String {
    format!("{:<14}: {}\n", label.to_string(), one_line(value))
}

fn counted(label: &str, values: &[String], none: &str) -> String {
    let shown = if values.is_empty() {
        none.to_owned()
    } else {
        values.join(", ")
    };
    line(format_args!("{label} ({})", values.len()), &shown)
}

fn provider_line(entry: &ProviderAuth) -> String {
    let ProviderAuth {
        provider,
        effective,
        profiles,
        env,
        custom,
    } = entry;
    let mut parts = vec![format!("effective={}:{}", effective.kind, effective.detail)];
    if profiles.count() > 0 {
        let (count, oauth, token, api_key) = (
            profiles.count(),
            profiles.oauth,
            profiles.token,
            profiles.api_key,
        );
        parts.push(format!(
            "profiles={count} (oauth={oauth}, token={token}, api_key={api_key})"
        ));
        parts.push(profiles.labels.join(", "));
    }
    let elsewhere = [("env", env), ("models.json", custom)];
    let found = elsewhere
        .into_iter()
        .filter_map(|(key, found)| Some((key, found.as_ref()?)));
    parts.extend(
        found.map(|(key, found)| format!("{key}={} | source={}", found.value, found.source)),
    );
    let provider = one_line(provider);
    let places = one_line(&parts.join(" | "));
    format!("- {provider} {places}\n")
}

fn expiry_line(profile: &ProfileExpiry, colour: Colour) -> String {
    let health = &profile.health;
    let left = || {
        health
            .left()
            .map_or_else(|| "unknown".to_owned(), Span::short)
    };
    // The reference tells an end that makes no sense (below 0, text) from none (0, empty).
    let has_end = match (&profile.odd_end, health.expires_at) {
        (Some(odd), _) => !matches!(odd, Value::Null | Value::Bool(false)) && odd != "",
        (None, end) => end.is_some_and(|end| end.ms() != 0.0),
    };
    let expiry = match has_end {
        _ if profile.expiry_fault.is_some() => " expires unknown".to_owned(),
        _ if health.status == Status::Static => String::new(),
        _ if profile.says_when_expired && health.status == Status::Expired => {
            format!(" {}", health.left().unwrap_or_default().from_now())
        }
        true => format!(" expires in {}", left()),
        false => " expires unknown".to_owned(),
    };
    let source = if profile.source == "store" {
        String::new()
    } else {
        format!(" ({})", profile.source)
    };
    let grant = match profile.grant {
        Some(GrantState::Dead) => " (login is over)",
        Some(GrantState::Spent) => " (refresh token was replaced)",
        Some(GrantState::Uncertain) => " (refresh token may be used up)",
        _ => "",
    };
    let marks: String = profile
        .marks
        .iter()
        .map(|mark| format!(" ({})", one_line(mark)))
        .collect();
    format!(
        "- {} {}{expiry}{source}{grant}{marks}\n",
        one_line(&profile.label),
        match profile.expiry_fault {
            Some(_) => word(Status::Missing, colour),
            None => word(health.status, colour),
        }
    )
}

/// A verdict in its colour: green, yellow or red; one without an end has none.
fn word(status: Status, colour: Colour) -> String {
    let (word, tone) = match status {
        Status::Ok => ("ok", Tone::Good),
        Status::Expiring => ("expiring", Tone::Warn),
        Status::Expired => ("expired", Tone::Bad),
        Status::Missing => ("unknown", Tone::Warn),
        _ => return "static".to_owned(),
    };
    match colour {
        Colour::Off => word.to_owned(),
        Colour::On => tone.paint(word),
    }
}
