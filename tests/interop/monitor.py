"""What a monitor gets: the filters that the client's own monitoring scripts put `models status --json` through, worded anew
here, and the exit status of `--check` as its page on monitoring gives it. The client's answers have to be the same.
"""
import re
import subprocess
import time

import settle
from programs import STATE, STORE, expect

MINUTE = 60_000
HOUR = 60 * MINUTE

# Of Anthropic's credentials: the latest end of a login or token, the latest end of a login, the login that lasts longest, how
# many keys there are.
FILTERS = {
    "any": '.auth.oauth.profiles | map(select(.provider == "anthropic" and (.type | IN("oauth", "token"))).expiresAt // 0) | max // 0',
    "login": '.auth.oauth.profiles | map(select(.provider == "anthropic" and .type == "oauth").expiresAt // 0) | max // 0',
    "best": '.auth.oauth.profiles | map(select(.provider == "anthropic" and .type == "oauth")) | sort_by(.expiresAt // 0) '
            '| last | .profileId // "none"',
    "keys": '.auth.providers | map(select(.provider == "anthropic").profiles.apiKey) | max // 0',
}


def jq(document, expression):
    done = subprocess.run(["jq", "-r", expression], input=document, text=True, capture_output=True)
    expect(done.returncode == 0, f"jq {expression!r}:", done.stderr.strip())
    return done.stdout.strip()


def verdict(expires, now):
    """What the scripts make of an end: an hour is their border, and all but a whole number counts as none."""
    if not re.fullmatch(r"-?\d+", expires) or int(expires) <= 0:
        return "MISSING"
    left = int(expires) - now
    if left < 0:
        return "EXPIRED"
    return "EXPIRING" if left < HOUR else "OK"


def answers(document):
    """What a monitor sees: the verdict on all, the verdict on the gateway's login, the best login."""
    now = int(time.time()) * 1000
    found = {name: jq(document, expression) for name, expression in FILTERS.items()}
    gateway = verdict(found["login"], now)
    if not re.fullmatch(r"[1-9]\d*", found["login"]) and int(found["keys"]) > 0:
        gateway = "OK:static"
    return {"claude": verdict(found["any"], now), "gateway": gateway, "best": found["best"], "keys": int(found["keys"])}


def oauth(end, now):
    return {"type": "oauth", "provider": "anthropic", "access": "oat-0123456789abcdef", "refresh": "ort-0123456789abcdef", "expires": now + end}


def token(end, now):
    return {"type": "token", "provider": "anthropic", "token": "tok-0123456789abcdef0", "expires": now + end}


def homes(now):
    """Name, profiles, what a monitor has to see of them, and the exit status of `--check`."""
    key = {"type": "api_key", "provider": "anthropic", "key": "sk-key-0123456789abcdef"}
    far, day, soon, over = 30 * 24 * HOUR, 5 * HOUR, 30 * MINUTE, -2 * HOUR

    def seen(claude, gateway, best="anthropic:login", keys=0):
        return {"claude": claude, "gateway": gateway, "best": best, "keys": keys}

    return [
        ("ok", {"anthropic:login": oauth(far, now)}, seen("OK", "OK"), 0),
        ("expiring within a day", {"anthropic:login": oauth(day, now)}, seen("OK", "OK"), 2),
        ("expiring within an hour", {"anthropic:login": oauth(soon, now)}, seen("EXPIRING", "EXPIRING"), 2),
        ("expired", {"anthropic:login": oauth(over, now)}, seen("EXPIRED", "EXPIRED"), 1),
        ("missing", {}, seen("MISSING", "MISSING", "none"), 1),
        ("no end known", {"anthropic:login": oauth(-now, now)}, seen("MISSING", "MISSING"), 1),
        ("keys only", {"anthropic:a": key, "anthropic:b": key}, seen("MISSING", "OK:static", "none", 2), 0),
        ("a token", {"anthropic:t": token(far, now)}, seen("OK", "MISSING", "none"), 0),
        ("two logins", {"anthropic:old": oauth(over, now), "anthropic:login": oauth(far, now)}, seen("OK", "OK"), 1),
    ]


def check(programs):
    now = int(time.time() * 1000)
    for place, (name, profiles, wanted, status) in enumerate(homes(now)):
        home = programs.home(f"monitor-{place}")
        home.write(STORE, {"version": 1, "profiles": profiles})
        home.write(f"{STATE}/clawdbot.json", {"agents": {"defaults": {"model": {"primary": "anthropic/claude-opus-4-5"}}}})
        ours = home.ours("models", "status", "--json").ok()
        theirs = home.theirs("models", "status", "--json").ok()
        expect(answers(ours) == wanted, f"{name}: ours {answers(ours)}, wanted {wanted}")
        expect(answers(theirs) == wanted, f"{name}: theirs {answers(theirs)}, wanted {wanted}")
        got = home.ours("models", "status", "--check").status
        expect(got == status, f"{name}: --check {got}, wanted {status}")
        # As text the later client asks the providers for quotas, over the network.
        got = home.theirs("models", "status", "--check", "--plain").status
        expect(got == status, f"{name}: their --check {got}, wanted {status}")
        yield f"{name}: {wanted['claude']}, {wanted['gateway']}, --check {status}", None

    home = programs.home("monitor-claude")
    settle.login(home, "monitor", 8)
    got = answers(home.ours("models", "status", "--json").ok())
    # A token by the rule of 2026-01-09, so the scripts' second question, for a login, finds none: as it was then.
    wanted = {"claude": "OK", "gateway": "MISSING", "best": "none", "keys": 0}
    expect(got == wanted, f"Claude Code: {got}, wanted {wanted}")
    expect((got := home.ours("models", "status", "--check").status) == 2, f"Claude Code: --check {got}")
    yield "Claude Code's login, synced: OK, --check 2", None
