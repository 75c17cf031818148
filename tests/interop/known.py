"""Each difference that the varied homes leave out, in a home of its own that shows it: what clawkeep says, and what the later
client says. One that has gone, on either side, fails here, so that the table in README.md stays true.
"""
import json
import time

import settle
from programs import STATE, STORE, expect

HOUR = 3_600_000
# Long enough that both show 8 characters at either end.
LONG = "sk-key-0123456789abcdef0123456789abcdef"
CODEX = ".codex/auth.json"
CODEX_ID = "openai-codex:codex-cli"


def key(provider, secret="sk-key-0123456789abcdef"):
    return {"type": "api_key", "provider": provider, "key": secret}


def labels(report):
    return [label for provider in report["auth"]["providers"] for label in provider["profiles"]["labels"]]


def providers(report):
    return [provider["provider"] for provider in report["auth"]["providers"]]


def verdicts(report):
    return [profile["status"] for profile in report["auth"]["oauth"]["profiles"]]


def ids(report):
    return [profile["profileId"] for profile in report["auth"]["oauth"]["profiles"]]


def reports(now):
    """Name, profiles, environment, configuration, what is looked at, what we say, what the client says."""
    marker = {"type": "oauth", "provider": "anthropic", "access": "openclaw-oauth-refresh-fence:v1:0123456789", "refresh": "r", "expires": now + 48 * HOUR}
    own_key = {"models": {"providers": {"local": {"baseUrl": "http://127.0.0.1:9", "models": [], "apiKey": "${LOCAL_KEY}"}}}}
    return [
        ("short keys", {"groq:a": key("groq", "short")}, {}, None, labels, ["groq:a=********"], ["groq:a=short"]),
        ("refresh marker", {"anthropic:a": marker}, {}, None, verdicts, ["missing"], ["ok"]),
        ("later variables", {}, {"SYNTHETIC_API_KEY": "env-0123456789abcdef", "Z_AI_API_KEY": "env-0123456789abcdef"}, None,
         providers, [], ["synthetic", "zai"]),
        ("letters outside ASCII", {"groq:zürich": key("groq"), "groq:zuzu": key("groq")}, {}, None,
         ids, ["groq:zuzu", "groq:zürich"], ["groq:zürich", "groq:zuzu"]),
        ("secrets of 17 to 31 characters", {"groq:a": key("groq")}, {}, None, labels, ["groq:a=sk-...def"], ["groq:a=sk-key-0...89abcdef"]),
        ("numbers as ids", {"b": key("groq", LONG), "7": key("groq", LONG)}, {}, None,
         labels, ["b=sk-key-0...89abcdef", "7=sk-key-0...89abcdef"], ["7=sk-key-0...89abcdef", "b=sk-key-0...89abcdef"]),
        ("variables in the configuration", {}, {"LOCAL_KEY": "sk-local-0123456789abcdef"}, own_key,
         lambda report: [provider["modelsJson"]["value"] for provider in report["auth"]["providers"]], ["********"], ["sk-local...89abcdef"]),
    ]


def check(programs):
    now = int(time.time() * 1000)
    for place, (name, profiles, env, config, looked_at, ours, theirs) in enumerate(reports(now)):
        home = programs.home(f"known-{place}")
        home.env = env
        home.write(STORE, {"version": 1, "profiles": profiles})
        if config:
            home.write(f"{STATE}/clawdbot.json", config)
        got = [looked_at(program("models", "status", "--json").json()) for program in (home.ours, home.theirs)]
        expect(got == [ours, theirs], f"{name}: {got}, not {[ours, theirs]}")
        yield name, None

    home = programs.home("known-config")
    home.write(f"{STATE}/clawdbot.json", {"agents": {"defaults": {"model": "openai/gpt-5.2"}}})
    ours, theirs = home.ours("models", "status", "--plain"), home.theirs("models", "status", "--plain")
    expect(ours.ok() == "openai/gpt-5.2\n" and theirs.status == 1 and "Config invalid" in theirs.stderr, ours, theirs)
    yield "a model as a string, which the client refuses", None

    home = programs.home("known-qwen")
    home.write(".qwen/oauth_creds.json", {"access_token": "a" * 20, "refresh_token": "r" * 20, "expiry_date": now + 9 * HOUR})
    got = [ids(program("models", "status", "--json").json()) for program in (home.ours, home.theirs, home.ours)]
    expect(got == [[], ["qwen-portal:qwen-cli"], ["qwen-portal:qwen-cli"]], got)
    yield "Qwen's login, which the client takes over and we keep", None

    home = programs.home("known-inherited")
    home.write(f"{STATE}/clawdbot.json", {"agents": {"list": [{"id": "main"}, {"id": "ops"}]}})
    home.write(STORE, {"version": 1, "profiles": {"groq:a": key("groq")}})
    store_of_ops = f"{STATE}/agents/ops/agent/auth-profiles.json"
    order = ("models", "auth", "order", "get", "--provider", "groq", "--agent", "ops")
    home.ours(*order).ok()
    expect(not home.at(store_of_ops).exists(), "we made a store of another agent's")
    home.theirs(*order).ok()
    home.ours(*order).ok()
    expect(home.json(store_of_ops) == home.json(), "the inherited store is not as the client left it")
    yield "credentials that another agent inherits, which the client copies and we keep", None

    home = programs.home("known-set-again")
    home.write(STORE, {"version": 1, "profiles": {"groq:a": key("groq"), "groq:b": key("groq", LONG)}, "order": {"groq": ["groq:b"]}})
    order = ("models", "auth", "order")
    home.ours(*order, "clear", "--provider", "groq").ok()
    home.theirs(*order, "set", "--provider", "groq", "groq:b").ok()
    ran = home.ours(*order, "get", "--provider", "groq", "--json")
    expect(ran.json()["order"] is None and "old copy" in ran.stderr, ran)
    home.ours(*order, "set", "--provider", "groq", "groq:b").ok()
    expect(home.theirs(*order, "get", "--provider", "groq", "--json").json()["order"] == ["groq:b"], home.json())
    yield "the cleared order, set again by the client, which we take for an old copy and say so", None


def codex_login(home, refresh="rt-0123456789abcdef"):
    home.write(CODEX, {"tokens": {"access_token": "at-0123456789abcdef", "refresh_token": refresh, "account_id": "acc"}})


def check_codex(programs):
    """Codex CLI's login: both store it in the same way, and leave it."""
    home = programs.home("codex")
    home.write(STORE, {"version": 1, "profiles": {"openai:key": key("openai")}})
    codex_login(home)
    seen = settle.rounds(home, ["ours", "theirs"] * 3)
    expect(seen == [seen[0]] * 6, f"the store changed again: {[len(text) for text in seen]}")
    expect(home.json()["profiles"][CODEX_ID]["access"] == "at-0123456789abcdef", "not Codex CLI's token")
    yield "ours first: the store stays as it is from the first run on", None

    home = programs.home("codex-theirs")
    home.write(STORE, {"version": 1, "profiles": {"openai:key": key("openai")}})
    codex_login(home)
    seen = settle.rounds(home, ["theirs", "ours"] * 3)
    expect(seen == [seen[0]] * 6, f"the store changed again: {[len(text) for text in seen]}")
    yield "theirs first: the store stays as it is from the first run on", None

    home = programs.home("codex-twice")
    login = {"type": "oauth", "provider": "openai-codex", "access": "at-0123456789abcdef", "refresh": "rt-0123456789abcdef"}
    home.write(STORE, {"version": 1, "profiles": {"openai-codex:mine": login | {"expires": int(time.time() * 1000) + 48 * HOUR}}})
    codex_login(home)
    seen = [CODEX_ID in json.loads(text)["profiles"] for text in settle.rounds(home, ["ours", "theirs"] * 3)]
    expect(seen[1:] == seen[:1] * 5, f"a login that is stored twice comes and goes: {seen}")
    yield "a login that another profile has already settles", None
