"""Varied homes without Claude Code credentials, from a seed.

What both programs agree on by design is varied as widely as it goes. What the client cannot read at all (an API key
without a key ends it with a TypeError) and what is listed in README.md as a difference with a home of its own is left out.
"""
import json
import random
import string

from programs import MAIN, STATE, STORE

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PROVIDERS = ["anthropic", "openai", "openai-codex", "google", "groq", "openrouter", "github-copilot", "mistral", "xai", "cerebras",
             "zai", "z.ai", "Z-AI", "minimax", "local-llm", "Anthropic", "google-antigravity"]
NAMES = ["default", "work", "backup", "Backup", "a1", "a10", "zeta", "ana@example.com", "ops_team", "x y", "claude-cli", "2nd"]
MODELS = ["anthropic/claude-opus-4-5", "anthropic/claude-sonnet-4-5", "openai/gpt-5.2", "openai/gpt-5-mini", "zai/glm-4.7", "z.ai/glm-4.6",
          "google/gemini-3-pro-preview", "groq/llama-3.3-70b", "openrouter/meta/llama-4", "mistral/large", "XAI/grok", "minimax/m2"]
ALIASES = ["Fast", "big", "gpt", ""]
VARIABLES = ["ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY", "COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "OPENAI_API_KEY", "GEMINI_API_KEY",
             "GROQ_API_KEY", "CEREBRAS_API_KEY", "XAI_API_KEY", "OPENROUTER_API_KEY", "MINIMAX_API_KEY", "ZAI_API_KEY", "MISTRAL_API_KEY"]


class Draw(random.Random):
    """A seeded source of choices."""

    # Whether everything is in order in this home, or anything may be wrong with it.
    healthy = False

    def chance(self, probability):
        return self.random() < probability

    def some(self, pool, most):
        return self.sample(pool, self.randint(0, min(most, len(pool))))

    def secret(self, prefix):
        # More than 16 characters: shorter ones are masked differently, on purpose.
        return f"{prefix}-" + "".join(self.choices(string.ascii_letters + string.digits, k=self.randint(17, 40)))

    def expires(self, now):
        """An expiry, well away from the borders between two verdicts."""
        good = ["ok", "ok", "ok", "expiring", "large"]
        kind = self.choice(good if self.healthy else [*good, "expired", "zero", "negative", "fraction", "none", "null", "text"])
        ahead = {
            "ok": self.randint(25 * HOUR, 90 * DAY),
            "expiring": self.randint(5 * MINUTE, 23 * HOUR),
            "expired": -self.randint(5 * MINUTE, 30 * DAY),
            "fraction": self.randint(-2 * DAY, -HOUR) + 0.25 if self.chance(0.5) else self.randint(HOUR, 3 * DAY) + 0.375,
        }
        if kind in ahead:
            return {"expires": now + ahead[kind]}
        return {"zero": {"expires": 0}, "negative": {"expires": -5}, "none": {}, "null": {"expires": None},
                "text": {"expires": "soon"}, "large": {"expires": 9_007_199_254_740_993}}[kind]


def profile(draw, provider, now):
    kind = draw.choice(["api_key", "token", "oauth"])
    entry = {"type": kind, "provider": provider}
    if kind == "api_key":
        entry["key"] = draw.secret("sk-key") if draw.chance(0.95) else " "
    elif kind == "token":
        entry.update(token=draw.secret("sk-tok"), **draw.expires(now))
    else:
        entry.update(access=draw.secret("oat"), refresh=draw.secret("ort"), **draw.expires(now))
        if draw.chance(0.3):
            entry.update(projectId="p-1", accountId="acc-7", clientId="c", enterpriseUrl="https://example.org")
    if draw.chance(0.3):
        entry["email"] = draw.choice(["ana@example.com", " dev.two@example.org ", ""])
    if draw.chance(0.3):
        entry.update(displayName="Ana", metadata={"nested": [1, 2.5, {"x": None}]}, keyRef={"source": "env", "id": "X"})
    return entry


def unreadable(draw):
    return draw.choice([
        {"type": "device", "provider": "openai", "code": "x"},
        {"type": "api_key", "key": "sk-key-without-a-provider-0000"},
        {"type": "token", "provider": "", "token": "sk-tok-with-no-provider-0000"},
        None, "text", 7, True, [], {},
    ])


def statistics(draw, now):
    entry = {}
    if draw.chance(0.7):
        entry["lastUsed"] = now - draw.randint(0, DAY)
    if draw.chance(0.4):
        entry.update(cooldownUntil=now + draw.choice([-5 * MINUTE, 5 * MINUTE, 25 * MINUTE, HOUR + 0.5]), errorCount=draw.randint(1, 4))
    if draw.chance(0.3):
        entry.update(disabledUntil=now + draw.choice([-HOUR, 5 * HOUR]), disabledReason=draw.choice(["billing", "auth"]))
    if draw.chance(0.3):
        entry.update(failureCounts={"rate_limit": 2}, lastFailureAt=now - HOUR, blockedUntil=None, cooldownModel="x")
    return entry


def store(draw, now):
    profiles, providers = {}, draw.sample(PROVIDERS, draw.randint(1, 5))
    for provider in providers:
        for name in draw.sample(NAMES, draw.randint(1, 4)):
            if (provider, name) != ("anthropic", "claude-cli") or draw.chance(0.5):
                profiles[f"{provider}:{name}"] = profile(draw, provider, now)
    for place in range(draw.choice([0, 0, 1, 3])):
        profiles[f"odd:{place}"] = unreadable(draw)
    ids = list(profiles)
    out = {"version": 1, "profiles": profiles}
    if draw.chance(0.5):
        out["order"] = {provider: [f" {name} " if draw.chance(0.1) else name for name in draw.some(ids, 4)] for provider in providers[:2]}
        if draw.chance(0.3):
            out["order"].update(odd="text", mixed=["a", 3, None, " "], empty=[])
    if draw.chance(0.5):
        out["lastGood"] = {provider: draw.choice(ids) for provider in providers[:2]} | {"nobody": "nobody:x"}
    if draw.chance(0.6):
        out["usageStats"] = {name: statistics(draw, now) for name in draw.some([*ids, "gone:default"], 6)}
    if draw.chance(0.4):
        out.update({"$schema": "https://example.org/x", "later": {"deep": [{"a": 1e-7, "b": 12345678901234567890}]}})
    return out


def legacy(draw, now):
    """An `auth.json` of before the store, and perhaps an `oauth.json` beside it."""
    entries = {}
    for provider in draw.sample(["anthropic", "openai", "groq", "zai", "openrouter"], draw.randint(1, 4)):
        entry = profile(draw, provider, now)
        if draw.chance(0.5):
            del entry["provider"]
        entries[provider] = entry
    if draw.chance(0.4):
        entries["odd"] = unreadable(draw)
    login = {"access": draw.secret("oat"), "refresh": draw.secret("ort"), "expires": now + 3 * DAY}
    return entries, {"anthropic": login, "google-antigravity": login | {"projectId": "p"}} if draw.chance(0.5) else None


def config(draw, ids, agents):
    out = {}
    if draw.chance(0.5):
        named = draw.some(ids, 4)
        out["auth"] = {
            "profiles": {
                name: {"provider": name.split(":")[0], "mode": draw.choice(["api_key", "token", "oauth"])}
                | ({"email": " label@example.com "} if draw.chance(0.4) else {})
                for name in named
            },
        }
        if named and draw.chance(0.6):
            out["auth"]["order"] = {draw.choice([str.upper, str.lower])(named[0].split(":")[0]): named}
    defaults, models = {}, MODELS
    if draw.healthy:
        stored = {name.split(":")[0] for name in ids}
        models = [name for name in MODELS if name.split("/")[0] in stored] or [f"{ids[0].split(':')[0]}/x"]
    if draw.healthy or draw.chance(0.7):
        defaults["model"] = {"primary": draw.choice(models)} | ({"fallbacks": draw.some(models, 3)} if draw.chance(0.7) else {})
    if not draw.healthy and draw.chance(0.3):
        defaults["imageModel"] = {"primary": "openai/gpt-image-1", "fallbacks": draw.some(MODELS, 2)}
    if draw.chance(0.5):
        defaults["models"] = {name: {"alias": draw.choice(ALIASES)} if draw.chance(0.6) else {} for name in draw.some(MODELS, 5)}
        aliases = [entry["alias"] for entry in defaults["models"].values() if entry.get("alias")]
        if aliases and not draw.healthy and draw.chance(0.5):
            defaults.setdefault("model", {}).setdefault("fallbacks", []).append(draw.choice(aliases).upper())
        if aliases and not draw.healthy and draw.chance(0.3):
            defaults.setdefault("model", {})["primary"] = draw.choice(aliases)
    out["agents"] = {"defaults": defaults} | ({"list": agents} if agents else {})
    if draw.chance(0.3):
        keyed = {"apiKey": draw.secret("sk-cfg")} if draw.chance(0.7) else {}
        out["models"] = {"providers": {draw.choice(["local-llm", "zai", "Z.AI", "openrouter"]): {"baseUrl": "http://127.0.0.1:9", "models": []} | keyed}}
    return out


def json5(draw, value):
    """The same document as a person writes it."""
    text = json.dumps(value, indent=2)
    if draw.chance(0.7):
        text = "// by hand\n" + text.replace("\n}", ",\n  /* the end */\n}") if value else text
    if draw.chance(0.5):
        for word in ("auth", "profiles", "agents", "defaults", "primary", "fallbacks", "provider", "mode", "models"):
            text = text.replace(f'"{word}":', f"{word}:")
    if draw.chance(0.3) and "'" not in text and "\\" not in text:
        text = text.replace('"', "'")
    return text


def build(home, seed, index, now):
    """Fills `home` with the `index`-th home of `seed`, and says what kind it is."""
    draw = Draw(f"{seed}/{index}")
    draw.healthy = draw.chance(0.5)
    home.env = {name: draw.secret("env") for name in (draw.some(VARIABLES, 4) if draw.chance(0.5) else [])}
    agents = []
    kind = draw.choice(["plain", "plain", "plain", "agents", "legacy"])
    ids = ["anthropic:default"]
    if kind == "legacy":
        entries, oauth = legacy(draw, now)
        home.write(f"{MAIN}/auth.json", entries)
        if oauth:
            home.write(f"{STATE}/credentials/oauth.json", oauth)
        ids = [f"{name}:default" for name in entries]
    else:
        main = store(draw, now)
        home.write(STORE, main)
        ids = list(main["profiles"])
    if kind == "agents":
        places = {"Research Bot": f"{STATE}/agents/research-bot/agent", "ops": "elsewhere/ops"}
        agents = [{"id": "Research Bot"}, {"id": "ops", "agentDir": "~/elsewhere/ops", "default": draw.chance(0.5)}, {"id": "main"}]
        for place in places.values():
            home.write(f"{place}/auth-profiles.json", store(draw, now))
        if draw.chance(0.7):
            variable = draw.choice(["CLAWDBOT_AGENT_DIR", "PI_CODING_AGENT_DIR"])
            place = draw.choice(list(places.values()))
            home.env[variable] = draw.choice([f"~/{place}", str(home.at(place))])
    if kind == "agents" or draw.healthy or draw.chance(0.8):
        home.write(f"{STATE}/clawdbot.json", json5(draw, config(draw, ids, agents)))
    return kind
