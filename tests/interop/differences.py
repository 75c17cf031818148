"""What the later client does differently from the reference as recorded on 2026-01-09, which is what clawkeep follows.

Each difference is one function that takes exactly its own traces out of the client's report, and says whether it found any.
README.md has the table. A difference that is not here is a failure.
"""
import re

# The client's own short names of Anthropic's models.
_SHORT_NAMES = {"opus": "claude-opus-4-5", "sonnet": "claude-sonnet-4-5"}
# The client rounds what is left; a mark may also have run out since the store was read.
_MARK = re.compile(r" \[(cooldown|disabled(?::\S+)?) \d+[mhd]\]$")


def cooldown_marks(report, _ours, store, now):
    """Labels in `auth.providers` end in `[cooldown 5m]` or `[disabled:billing 5h]`. The recorded reference had no such marks:
    cases status-092 and others have a cooldown that is not over, and a plain label."""
    found = 0
    usage = store.get("usageStats") or {}
    for provider in report["auth"]["providers"]:
        labels = provider["profiles"]["labels"]
        for place, label in enumerate(labels):
            mark = _MARK.search(label)
            if mark and mark.group(1) in _expected_marks(usage, label, now):
                labels[place] = label[: mark.start()]
                found += 1
    return found


def _expected_marks(usage, label, now):
    """The marks that the statistics of the labelled profile allow."""
    stats = next((stats for name, stats in usage.items() if label.startswith(f"{name}=")), {})

    def ends_later(field):
        return isinstance(stats.get(field), (int, float)) and stats[field] > now

    marks = set()
    if ends_later("disabledUntil"):
        reason = stats.get("disabledReason")
        marks.add(f"disabled:{reason}" if reason else "disabled")
    elif ends_later("cooldownUntil"):
        marks.add("cooldown")
    return marks


def unusable_list(report, _ours, _store, _now):
    """`auth.unusableProfiles`, a list that the recorded reference did not print."""
    return int(report["auth"].pop("unusableProfiles", None) is not None)


# What the client takes over from an entry of `auth.json`, by type.
_TAKEN_OVER = {
    "api_key": {"type", "provider", "key", "email"},
    "token": {"type", "provider", "token", "expires", "email"},
    "oauth": {"type", "provider", "access", "refresh", "expires", "enterpriseUrl", "projectId", "accountId", "email"},
}


def _is_blank(field, entry):
    """Whether the client takes a known field for absent."""
    value = entry[field]
    if field == "expires":
        return entry["type"] == "token" and not isinstance(value, (int, float))
    return not value and field in ("email", "enterpriseUrl", "projectId", "accountId")


def legacy_fields(ours, theirs):
    """Fields that the import of an older `auth.json` keeps here and drops there: `spec/compat.md` has every unknown field
    survive an import. Takes them out of `ours`, and only where the client's entry has none but the ones it knows."""
    found = 0
    for name, entry in ours["profiles"].items():
        known = _TAKEN_OVER.get(entry.get("type"), set())
        other = theirs["profiles"].get(name)
        if isinstance(other, dict) and set(other) <= known:
            dropped = [field for field in entry if field not in known or (field not in other and _is_blank(field, entry))]
            found += len(dropped)
            for field in dropped:
                del entry[field]
    return found


def primary_listed(report, ours, _store, _now):
    """Where Anthropic is used with an API key, the client lists the primary model, if it is Anthropic's, among the configured ones
    (to give it a cache lifetime), and with it the model's short name among the aliases. No recorded case has that."""
    primary = ours["defaultModel"]
    model = primary.removeprefix("anthropic/")
    key = f"anthropic/{_SHORT_NAMES.get(model, model)}"
    if report["allowed"] != [*ours["allowed"], key] or key in ours["allowed"]:
        return 0
    report["allowed"].pop()
    for alias, target in list(report["aliases"].items()):
        if target == key and _SHORT_NAMES.get(alias) == key.removeprefix("anthropic/") and alias not in ours["aliases"]:
            del report["aliases"][alias]
    return 1


def shorter_masks(report, ours, _store, _now):
    """Of a secret of 17 to 31 characters, clawkeep shows a sixth at either end; the client shows 8 characters at either end."""
    found = 0
    for mine, other in zip(ours["auth"]["providers"], report["auth"]["providers"]):
        labels = other["profiles"]["labels"]
        for place, label in enumerate(labels[: len(mine["profiles"]["labels"])]):
            if _is_shorter_mask(mine["profiles"]["labels"][place], label):
                labels[place] = mine["profiles"]["labels"][place]
                found += 1
        for source, field in (("env", "value"), ("modelsJson", "value"), ("effective", "detail")):
            if source in mine and source in other and _is_shorter_mask(mine[source][field], other[source][field]):
                other[source][field] = mine[source][field]
                found += 1
    return found


def _is_shorter_mask(ours, theirs):
    """Whether two texts differ only in how much of one masked secret they show: at either end the same number more there."""
    (head, mark, tail), (their_head, _, their_tail) = ours.partition("..."), theirs.partition("...")
    more = len(their_head) - len(head)
    return bool(mark) and their_head.startswith(head) and their_tail.endswith(tail) and 3 <= more <= 6 and len(their_tail) - len(tail) == more


# Of a token without an end, these write 0.
_WITHOUT_EXPIRY = {"github-copilot"}
_YEAR_MS = 365.25 * 86_400_000


def _expiry_fault(entry, now):
    """What is wrong with the expiry of a stored credential, in clawkeep's words, or None."""
    is_oauth, ms = entry.get("type") == "oauth", entry.get("expires")
    if ms is None:
        return "missing" if is_oauth else None
    if isinstance(ms, bool) or not isinstance(ms, (int, float)):
        return "not-a-number"
    if ms == 0:
        return "zero" if is_oauth and entry["provider"] not in _WITHOUT_EXPIRY else None
    if ms < 0:
        return "negative"
    return "seconds" if ms < 1e11 else "far-ahead" if ms - now > 20 * _YEAR_MS else None


def expiry_faults(_report, ours, store, now):
    """Profiles in `auth.oauth` have `expiryFault` beside an expiry that cannot be right. Takes it out of `ours`, and only where it
    is true of the store."""
    found = 0
    oauth = ours["auth"]["oauth"]
    for profile in [*oauth["profiles"], *(each for provider in oauth["providers"] for each in provider["profiles"])]:
        entry = store.get("profiles", {}).get(profile["profileId"])
        if isinstance(entry, dict) and "expiryFault" in profile and profile["expiryFault"] == _expiry_fault(entry, now):
            del profile["expiryFault"]
            found += 1
    return found


# In this order: a mark that the client adds at a label's end would hide what shorter_masks compares.
ALL = [cooldown_marks, unusable_list, primary_listed, shorter_masks, expiry_faults]
