//! Profile ids that the configuration, or an agent's own order, names and that are not there.

use std::collections::BTreeSet;

use super::evidence::{Evidence, ExaminedAgent};
use super::finding::Finding;
use super::finding_id::FindingId;
use super::repair::Repair;
use crate::advice::{Commands, of_agent, paste};
use crate::advice::{shell_path, shell_word};
use crate::terminal::program_name::restore_command;
use clawkeep::internal::config::{KEPT, ProfileSetting, Settings};
use clawkeep::internal::domain::{
    AgentName, CredentialType, Owner, ProfileId, ProviderId, REMOVE_COMMAND, Section, StoreDoc,
    normalize_provider,
};
use clawkeep::internal::platform::canonicalize;

/// The provider whose logins once had one id for all. Source: the reference's doctor.
const ANTHROPIC: &str = "anthropic";
/// The id of the reference's default profile. Source: as above.
const LEGACY_DEFAULT: &str = "anthropic:default";

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = evidence.agents.iter().flat_map(own_orders).collect();
    let (Some(settings), true) = (evidence.settings, has_read_all_stores(evidence)) else {
        return found;
    };
    found.extend(kept_copies(evidence));
    found.extend(settings_of_no_agent(evidence, settings));
    let is_stored = |id: &ProfileId| {
        let has =
            |examined: &ExaminedAgent| examined.doc.get(Section::Profiles, id.as_str()).is_some();
        evidence.agents.iter().any(has)
    };
    let legacy = legacy_default(evidence, settings);
    let mut reported: BTreeSet<ProfileId> = BTreeSet::new();
    if let Some(finding) = legacy {
        reported.insert(ProfileId::new(LEGACY_DEFAULT));
        found.push(finding);
    }
    for profile in &settings.profiles {
        if !is_stored(&profile.id) && reported.insert(profile.id.clone()) {
            found.push(missing(evidence, profile));
        }
    }
    for order in &settings.orders {
        for id in &order.ids {
            if !is_stored(id) && reported.insert(id.clone()) {
                found.push(missing_in_order(evidence, &order.provider, id));
            }
        }
    }
    found
}

/// The configurations that repairs have kept.
fn kept_copies(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let config = canonicalize(&layout.config_file);
    let config = config.unwrap_or_else(|_| layout.config_file.clone());
    let (Some(dir), Some(name)) = (config.parent(), config.file_name()) else {
        return Vec::new();
    };
    let start = format!("{}{KEPT}", name.to_string_lossy());
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let kept = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
    let finding = |path: std::path::PathBuf| {
        let message = format!(
            "{} is the configuration from before a repair; it may hold secrets",
            layout.shorten_home(&path)
        );
        let word = shell_path(layout, &path);
        let advice = format!("When you no longer need it: {REMOVE_COMMAND} {word}");
        Finding::new(FindingId::ConfigKept, message)
            .path(path)
            .advice(advice)
    };
    kept.map(|entry| finding(entry.path())).collect()
}

/// Reports agents that `clawkeep.toml` names and that do not exist: their settings have no effect.
fn settings_of_no_agent(evidence: &Evidence<'_>, settings: &Settings) -> Vec<Finding> {
    let file = &evidence.layout.settings_file;
    let is_known = |name: &AgentName| {
        evidence
            .agents
            .iter()
            .any(|examined| examined.agent.name == *name)
            || settings.agents.iter().any(|agent| agent.name == *name)
    };
    let named = evidence.own.into_iter().flat_map(|own| own.agents.keys());
    let finding = |name: &AgentName| {
        let message = format!("[agents.{name}] configures an agent that does not exist");
        let shown = shell_path(evidence.layout, file);
        Finding::new(FindingId::ConfigAgent, message)
            .path(file)
            .advice(format!(
                "Name an existing agent, or remove the section from {shown}"
            ))
    };
    named.filter(|name| !is_known(name)).map(finding).collect()
}

/// Where an agent's rows do not open, what it has is not known.
fn has_read_all_stores(evidence: &Evidence<'_>) -> bool {
    evidence.vault.unlocked().is_some()
        && evidence
            .agents
            .iter()
            .all(|examined| examined.unopened.is_empty())
}

fn missing(evidence: &Evidence<'_>, profile: &ProfileSetting) -> Finding {
    let config = &evidence.layout.config_file;
    let id = profile.id.as_str();
    let message = format!("auth.profiles names {id}, which no agent has");
    let keeper = evidence.keeper_of(&profile.id);
    let restore = |agent: &AgentName| {
        let agent_option = of_agent(agent);
        let profile = shell_word(id);
        format!("{} {profile}{agent_option}", restore_command())
    };
    let keeper = keeper.filter(|_| Owner::of(id) == Owner::Vault);
    let store_anew = || match Owner::of(id) {
        Owner::Vault => paste(
            id,
            &profile.provider,
            profile.mode.unwrap_or(CredentialType::Token),
            Commands::Tree,
        ),
        owner => owner.how_to_log_in(),
    };
    let fix = keeper.map_or_else(store_anew, restore);
    let config_shown = shell_path(evidence.layout, config);
    Finding::new(FindingId::ConfigMissing, message)
        .profile(id)
        .path(config)
        .advice(match cfg!(windows) {
            // cmd.exe knows no comments.
            true => format!("Take it out of {config_shown}, or run: {fix}"),
            false => format!("{fix}  # or take it out of {config_shown}"),
        })
}

fn missing_in_order(evidence: &Evidence<'_>, provider: &ProviderId, id: &ProfileId) -> Finding {
    let config = &evidence.layout.config_file;
    let message = format!("auth.order of {provider} names {id}, which no agent has");
    let config_shown = shell_path(evidence.layout, config);
    Finding::new(FindingId::ConfigOrder, message)
        .profile(id.as_str())
        .path(config)
        .advice(format!("Take it out of auth.order in {config_shown}"))
}

/// Orders that an agent keeps for itself, in its store.
fn own_orders(examined: &ExaminedAgent) -> Vec<Finding> {
    let doc = &examined.doc;
    let mut found = Vec::new();
    if !examined.unopened.is_empty() {
        return found;
    }
    for (key, _) in doc.entries(Section::Order) {
        let provider = normalize_provider(key);
        let ids = doc.order_for(&provider).unwrap_or_default();
        let (there, gone): (Vec<_>, Vec<_>) = ids
            .into_iter()
            .partition(|id| doc.get(Section::Profiles, id.as_str()).is_some());
        for id in gone {
            let message = format!("its order of {provider} names {id}, which it does not have");
            found.push(
                Finding::new(FindingId::StoreOrder, message)
                    .agent(&examined.agent.name)
                    .profile(id.as_str())
                    .advice(new_order(examined, &provider, &there)),
            );
        }
    }
    found
}

/// The command that leaves what is there.
fn new_order(examined: &ExaminedAgent, provider: &str, ids: &[ProfileId]) -> String {
    let verb = if ids.is_empty() { "clear" } else { "set" };
    let agent = &examined.agent.name;
    let mut command = format!(
        "clawkeep models auth order {verb} --provider {} --agent {}",
        shell_word(provider),
        shell_word(agent.as_str())
    );
    if ids.iter().any(|id| id.as_str().starts_with('-')) {
        command.push_str(" --"); // else they would be taken for options
    }
    for id in ids {
        command.push(' ');
        command.push_str(&shell_word(id.as_str()));
    }
    command
}

fn legacy_default(evidence: &Evidence<'_>, settings: &Settings) -> Option<Finding> {
    let from = ProfileId::new(LEGACY_DEFAULT);
    // Two accounts are no rename: one of them would go from the configuration.
    if evidence.knows_profile(&from) {
        return None;
    }
    let (to, email) = renamed_default(settings, evidence.main_doc()?)?;
    let path = evidence.layout.config_file.clone();
    let message =
        format!("the configuration names {LEGACY_DEFAULT}, and the login is stored as {to}");
    Some(
        Finding::new(FindingId::ConfigLegacyDefault, message)
            .profile(LEGACY_DEFAULT)
            .path(&path)
            .repair(Repair::RenameConfigProfile {
                path,
                from,
                to,
                email,
            }),
    )
}

/// What [`suggested_default`] says, where nothing speaks against it: the stores do not have the old
/// id, the configuration does not have the new one, and the addresses are not two.
pub(super) fn renamed_default(
    settings: &Settings,
    doc: &StoreDoc,
) -> Option<(ProfileId, Option<String>)> {
    let (to, email) = suggested_default(settings, doc)?;
    let configured = settings.profile(LEGACY_DEFAULT)?.email.as_deref();
    let is_other_address = configured
        .zip(email.as_deref())
        .is_some_and(|(a, b)| a != b);
    let is_taken = settings.profile(to.as_str()).is_some()
        || doc.get(Section::Profiles, LEGACY_DEFAULT).is_some();
    (!is_other_address && !is_taken).then_some((to, email))
}

/// The stored login that the configuration's `anthropic:default` means, and its e-mail address.
/// Source: the reference's doctor: by the configured address, else the last one that worked, else
/// the only other one, else the only one that is named by an address.
fn suggested_default(settings: &Settings, doc: &StoreDoc) -> Option<(ProfileId, Option<String>)> {
    let configured = settings.profile(LEGACY_DEFAULT).filter(|profile| {
        profile.provider.as_str() == ANTHROPIC && profile.mode == Some(CredentialType::OAuth)
    })?;
    let logins: Vec<(&str, Option<&str>)> = doc
        .credentials()
        .filter(|(_, credential)| {
            credential.kind == CredentialType::OAuth && credential.is_for(ANTHROPIC)
        })
        .map(|(id, credential)| (id, credential.email()))
        .collect();
    let by_address = configured.email.as_deref().and_then(|address| {
        let named = format!("{ANTHROPIC}:{address}");
        logins
            .iter()
            .find(|(id, email)| *email == Some(address) || *id == named)
    });
    let last_good = || {
        let last = doc.get(Section::LastGood, ANTHROPIC)?.as_str()?;
        logins.iter().find(|(id, _)| *id == last)
    };
    let others = || logins.iter().filter(|(id, _)| *id != LEGACY_DEFAULT);
    let has_address = |(id, _): &&(&str, Option<&str>)| {
        let suffix = id.split_once(':').map_or("", |(_, suffix)| suffix);
        suffix.contains('@') && suffix.contains('.')
    };
    let chosen = by_address
        .or_else(last_good)
        .or_else(|| only(others()))
        .or_else(|| only(others().filter(has_address)));
    let (id, email) = chosen.filter(|(id, _)| *id != LEGACY_DEFAULT)?;
    Some((ProfileId::new(*id), email.map(str::to_owned)))
}

/// The one there is, if there is one and no more.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn suggested(
        config: &str,
        ids: &[(&str, Option<&str>)],
        last_good: Option<&str>,
    ) -> Option<String> {
        let settings = Settings::parse(config, Path::new("clawdbot.json")).unwrap();
        let mut store = json!({"profiles": {}});
        for (id, email) in ids {
            let mut entry = json!({"type": "oauth", "provider": "anthropic", "access": "a",
                "refresh": "r", "expires": 1});
            if let Some(email) = email {
                entry["email"] = json!(email);
            }
            store["profiles"][id] = entry;
        }
        if let Some(id) = last_good {
            store["lastGood"] = json!({"anthropic": id});
        }
        let doc = StoreDoc::from_json(store).unwrap();
        suggested_default(&settings, &doc).map(|(id, email)| match email {
            Some(email) => format!("{id} {email}"),
            None => id.as_str().to_owned(),
        })
    }

    const CONFIG: &str =
        "{auth: {profiles: {'anthropic:default': {provider: 'anthropic', mode: 'oauth'}}}}";
    const WITH_ADDRESS: &str = "{auth: {profiles: {'anthropic:default': {provider: 'anthropic', \
        mode: 'oauth', email: ' b@x.y '}}}}";

    #[test]
    fn the_login_is_chosen_as_the_reference_chooses_it() {
        let (a, b) = (
            ("anthropic:a@x.y", Some("a@x.y")),
            ("anthropic:b@x.y", None),
        );
        let (work, default) = (("anthropic:work", None), (LEGACY_DEFAULT, None));
        let (token, of_openai) = (
            "{auth: {profiles: {'anthropic:default': {provider: 'anthropic', mode: 'token'}}}}",
            "{auth: {profiles: {'anthropic:default': {provider: 'openai', mode: 'oauth'}}}}",
        );
        let (c, own) = (
            ("anthropic:c", Some("b@x.y")),
            (LEGACY_DEFAULT, Some("b@x.y")),
        );
        let (of_a, of_work) = ("anthropic:a@x.y", "anthropic:work");
        for (config, ids, last_good, want) in [
            (CONFIG, vec![], "", ""),
            (CONFIG, vec![default], "", ""),
            (CONFIG, vec![a], "", "anthropic:a@x.y a@x.y"),
            (CONFIG, vec![default, work], "", of_work),
            (CONFIG, vec![a, work], "", "anthropic:a@x.y a@x.y"),
            (CONFIG, vec![a, b, work], "", ""),
            (CONFIG, vec![a, b, work], of_work, of_work),
            (CONFIG, vec![a, b], "anthropic:gone", ""),
            (CONFIG, vec![a, default], LEGACY_DEFAULT, ""),
            (WITH_ADDRESS, vec![a, b], of_a, "anthropic:b@x.y"),
            (WITH_ADDRESS, vec![a, c], "", "anthropic:c b@x.y"),
            (WITH_ADDRESS, vec![own, work], "", ""),
            ("{}", vec![a], "", ""),
            (token, vec![a], "", ""),
            (of_openai, vec![a], "", ""),
        ] {
            let got = suggested(config, &ids, Some(last_good).filter(|id| !id.is_empty()));
            let got = got.unwrap_or_default();
            assert_eq!(got, want, "{config} {ids:?} {last_good:?}");
        }
    }

    #[test]
    fn tokens_and_other_providers_are_no_candidates() {
        let settings = Settings::parse(CONFIG, Path::new("clawdbot.json")).unwrap();
        let entry =
            |kind: &str, provider: &str| -> Value { json!({"type": kind, "provider": provider}) };
        let store = json!({"profiles": {
            "anthropic:a@x.y": entry("token", "anthropic"),
            "openai:b@x.y": entry("oauth", "openai"),
        }});
        let got = suggested_default(&settings, &StoreDoc::from_json(store).unwrap());
        assert_eq!(got, None);
    }
}
