//! The JSON store: bytes to document and back, and everything that reads a document.

use serde_json::{Value, json};

use crate::domain::{
    CooldownRules, Credential, CredentialType, ProfileId, ProviderId, Section, Span, StoreDoc,
    UnixMs, unavailability,
};
use crate::export;
use crate::health::{self, AsOf};
use crate::selection::{
    FailureReason, Preferences, after_clearing, after_failure, after_use, candidates,
    candidates_ignoring_cooldowns,
};

const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// A document comes back as it was, to the byte; what reads it takes any entry for what it is.
pub fn store(data: &[u8]) {
    let Ok(doc) = export::parse(data) else {
        return;
    };
    let text = export::render(&doc);
    let again = export::parse(&text).expect("what we write is a store");
    assert!(again == doc, "another document came back");
    assert!(export::render(&again) == text, "another text came back");

    let count = doc
        .section(Section::Profiles)
        .map_or(0, |entries| entries.len());
    assert_eq!(doc.credentials().count(), count);
    for (id, credential) in doc.credentials() {
        assert!(doc.credential(id).is_some());
        check_credential(&credential);
        check_usage(&doc, id, &ProviderId::new(credential.provider));
        check_candidates(&doc, &ProviderId::new(credential.provider));
    }
    check_edits(&doc);
}

fn check_credential(credential: &Credential<'_>) {
    if let Some(expiry) = credential.expiry() {
        assert!(expiry.ms().is_finite() && credential.odd_expiry().is_none());
    }
    let has_secret = credential.expose_secret().is_some() || credential.expose_refresh().is_some();
    assert!(credential.is_readable() || !has_secret);
    assert!(!credential.is_marker() || credential.kind == CredentialType::OAuth);
    for now in [UnixMs(0), NOW] {
        let health = health::assess(credential, AsOf::at(now));
        let all = [(credential.kind, health)];
        let of_provider = health::assess_provider(&all, now);
        assert!(of_provider.expires_at.is_none() || of_provider.expires_at == health.expires_at);
    }
    if let Some(expiry) = credential.expiry() {
        assert!(
            !Span::from_f64(expiry.ms())
                .short()
                .contains(char::is_control)
        );
    }
}

/// A failure is a cooldown for a finite time; clearing it and using the credential end it.
fn check_usage(doc: &StoreDoc, id: &str, provider: &ProviderId) {
    let usage = doc.get(Section::Usage, id);
    let with = |usage: Value| {
        let mut after = doc.clone();
        after.set(Section::Usage, id, usage);
        after
    };
    for &reason in FailureReason::ALL {
        let failed = after_failure(usage, reason, provider, &CooldownRules::default(), NOW);
        assert!(failed.until > NOW && failed.failures > 0);
        let after = with(failed.usage.clone());
        let rest_after =
            unavailability(&after, id, NOW).expect("a credential that failed is in cooldown");
        assert!(rest_after.until.ms() >= failed.until.as_f64());
        let cleared = after_clearing(Some(&failed.usage)).expect("there is something to lift");
        assert!(unavailability(&with(cleared), id, NOW).is_none());
    }
    let used = after_use(usage, NOW);
    assert_eq!(used["lastUsed"], json!(NOW.0));
    assert!(unavailability(&with(used), id, NOW).is_none());
}

fn check_candidates(doc: &StoreDoc, provider: &ProviderId) {
    let preferences = Preferences::default();
    let mut now = candidates(doc, &preferences, provider, None, NOW);
    let mut expected = candidates_ignoring_cooldowns(doc, &preferences, provider, None);
    if let Some(last) = expected.last() {
        let first = candidates_ignoring_cooldowns(doc, &preferences, provider, Some(last));
        let found = first.first();
        assert_eq!(found, Some(last), "the preferred one is not the first");
    }
    now.sort();
    expected.sort();
    assert_eq!(now, expected, "a cooldown adds and removes none");
    expected.dedup();
    assert_eq!(now, expected, "each once");
}

fn check_edits(doc: &StoreDoc) {
    for section in Section::ALL {
        let mut after = doc.clone();
        after.set(section, "new", json!({"x": 1}));
        assert_eq!(after.get(section, "new"), Some(&json!({"x": 1})));
        let others = doc
            .entries(section)
            .filter(|(key, _)| *key != "new")
            .count();
        assert_eq!(after.entries(section).count(), others + 1);
        after.remove(section, "new");
        assert!(after.get(section, "new").is_none());
        assert_eq!(after.entries(section).count(), others);
    }
    for (provider, _) in doc.entries(Section::Order) {
        let ids: Vec<ProfileId> = doc
            .order_for(ProviderId::new(provider).as_str())
            .unwrap_or_default();
        assert!(ids.iter().all(|id| !id.as_str().trim().is_empty()));
    }
}
