"""Today's OpenClaw and clawkeep in one home: the gateway gets ready, works, and finds nothing of ours in its directory."""
import json
import os
import time

from servers import Provider
from world import CLAUDE, configuration, expect, files_of_ours, step

KEY = "sk-test-loop-0123456789abcdefghij"
OURS = "sk-test-ours-0123456789abcdefghij"


def use_clawkeep(home, mark):
    """What a person and their cron jobs do with clawkeep. Exit statuses that report a finding are fine."""
    made = {"accessToken": f"sk-ant-oat01-{mark}-" + "A" * 80, "refreshToken": f"sk-ant-ort01-{mark}-" + "R" * 80,
            "expiresAt": int(time.time() * 1000) + 8 * 3_600_000}
    home.write(CLAUDE, {"claudeAiOauth": made | {"scopes": ["user:inference"], "subscriptionType": "max"}})
    home.ours("sync").ok()
    home.paste("groq", OURS, f"groq:{mark}").ok()
    home.ours("models", "auth", "order", "set", "--provider", "groq", f"groq:{mark}").ok()
    home.ours("models", "status", "--check", "--json")
    home.ours("models", "auth", "list")
    home.ours("watch", "--once").ok()
    home.ours("doctor", "--non-interactive")
    handed = home.ours("token", "--profile", f"groq:{mark}").ok().strip()
    expect(handed == OURS, "clawkeep token did not hand out what was pasted")


def nothing_of_ours(home):
    expect(not os.path.lexists(home.at(".clawdbot")), "~/.clawdbot was made:", sorted(p.name for p in home.at(".clawdbot").glob("*")))
    ours = files_of_ours(home.at(".openclaw"))
    expect(not ours, "in ~/.openclaw:", ours)


def turn(home, provider, key):
    """A turn of the agent through the gateway, and the key that the provider saw."""
    seen = len(provider.authorizations)
    said = home.openclaw("latest", "agent", "--agent", "main", "--message", "hello", "--json", "--timeout", "120").ok()
    expect(Provider.ANSWER in said, f"no answer of the provider: {said[-300:]}")
    expect(provider.authorizations[seen:] and set(provider.authorizations[seen:]) == {f"Bearer {key}"},
           "the provider saw", provider.authorizations[seen:])


def auth_commands(home):
    home.openclaw("latest", "models", "auth", "paste-api-key", "--provider", "loop", "--profile-id", "loop:two", stdin=KEY + "\n").ok()
    home.openclaw("latest", "models", "auth", "order", "set", "--provider", "loop", "loop:manual", "loop:two").ok()
    listed = home.openclaw("latest", "models", "auth", "list").ok()
    expect("loop:manual" in listed and "loop:two" in listed, listed)
    status = home.openclaw("latest", "models", "status", "--check", "--json")
    expect(status.status == 0, f"models status --check: exit {status.status}: {status.stderr[-300:]}")
    providers = json.loads(status.stdout[status.stdout.index("{"):])["auth"]["providers"]
    counts = {each["provider"]: each["profiles"]["count"] for each in providers}
    expect(counts.get("loop") == 2, counts)


def check(world, order):
    """`order` says who was there first."""
    home = world.home(f"gateway-{order}")
    provider = Provider()
    latest, before = (world.openclaw[which].version for which in ("latest", "before"))

    def configure():
        home.write(".openclaw/openclaw.json", configuration(provider, home))

    def start(which, *works):
        with home.gateway(which):
            for work in works:
                work()

    if order == "ours-first":
        yield step("clawkeep is used before there is an OpenClaw", lambda: use_clawkeep(home, "first"))
        yield step("nothing of ours is where OpenClaw looks", lambda: nothing_of_ours(home))
    configure()
    if order == "theirs-first":
        yield step(f"{before} alone gets ready", lambda: start("before"))
    yield step("clawkeep is used", lambda: use_clawkeep(home, "second"))
    yield step(f"the first start of {before} with clawkeep gets ready", lambda: start("before", lambda: use_clawkeep(home, "during")))
    yield step("clawkeep is used between", lambda: use_clawkeep(home, "between"))
    yield step(f"after the update to {latest} it gets ready", lambda: start("latest"))

    def pasted():
        home.openclaw("latest", "models", "auth", "paste-api-key", "--provider", "loop", stdin=KEY + "\n").ok()

    yield step("an API key is pasted into OpenClaw", pasted)

    def fixed():
        ran = home.openclaw("latest", "doctor", "--fix", "--non-interactive", "--yes")
        expect("remains pending" not in ran.stdout + ran.stderr, "doctor --fix: the migration remains pending")
        expect(ran.status == 0, f"doctor --fix: exit {ran.status}: {ran.stderr[-300:]}")

    yield step("doctor --fix has no complaint about ours", fixed)
    yield step("clawkeep is used after doctor --fix", lambda: use_clawkeep(home, "after"))
    yield step("it gets ready again, its auth commands and a turn work, with clawkeep used meanwhile",
               lambda: start("latest", lambda: auth_commands(home), lambda: use_clawkeep(home, "beside"),
                             lambda: turn(home, provider, KEY)))
    yield step("nothing of ours is where OpenClaw looks, after all that", lambda: nothing_of_ours(home))
    yield step("the record holds", lambda: home.ours("audit", "verify").ok())
    provider.close()
