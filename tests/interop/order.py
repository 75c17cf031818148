"""An order that one program sets is the other's, too."""
import json

from programs import STATE, STORE, expect

IDS = ["anthropic:work", "anthropic:default", "anthropic:backup"]
OURS, THEIRS = "ours", "theirs"


def command(home, program):
    return {OURS: home.ours, THEIRS: home.theirs}[program]


def ours_of(home, agent=()):
    return home.ours("models", "auth", "order", "get", "--provider", "anthropic", "--json", *agent).json()


def theirs_of(home, agent=()):
    return home.theirs("models", "auth", "order", "get", "--provider", "anthropic", "--json", *agent).json()


def history(home, kind="store"):
    return home.ours("history", "--kind", kind, "--json").json()["events"]


def prepare(home, agents=()):
    key = {"type": "api_key", "provider": "anthropic"}
    profiles = {name: key | {"key": f"sk-key-{name}-0123456789"} for name in IDS}
    home.write(STORE, {"version": 1, "profiles": profiles, "later": {"x": 1}})
    for agent in agents:
        home.write(f"{agent}/auth-profiles.json", {"version": 1, "profiles": profiles})
    home.ours("sync").ok()


def check(programs):
    home = programs.home("order")
    prepare(home)
    turns = [(THEIRS, [IDS[2], IDS[0]]), (OURS, [IDS[1]]), (THEIRS, IDS), (OURS, IDS[::-1])]
    for turn, (program, ids) in enumerate(turns):
        command(home, program)("models", "auth", "order", "set", "--provider", "anthropic", *ids).ok()
        answers = [ours_of(home), theirs_of(home)] if turn % 2 == 0 else [theirs_of(home), ours_of(home)]
        expect([answer["order"] for answer in answers] == [ids] * 2, answers)
        expect(answers[0] == answers[1], answers)
        if program == THEIRS:
            newest = history(home)[0]
            seen = newest["kind"], newest["origin"], newest["detail"].get("file", {}).get("order")
            expect(seen == ("store.merged", "auth-profiles.json", ["anthropic"]), seen)
        yield f"{program}: set {len(ids)}, both have it", None

    # Not the order that was cleared: known.py has that.
    for program, ids in ((THEIRS, [IDS[0]]), (OURS, [IDS[1], IDS[0]])):
        command(home, program)("models", "auth", "order", "clear", "--provider", "anthropic").ok()
        expect(ours_of(home)["order"] is None and theirs_of(home)["order"] is None, home.json().get("order"))
        home.theirs("models", "auth", "order", "set", "--provider", "anthropic", *ids).ok()
        expect(ours_of(home)["order"] == ids, ours_of(home))
        yield f"{program}: clear, both have none", None
    home.ours("audit", "verify").ok()
    yield "the record holds", None
    # The client writes the sections it knows. What else there was is gone from its file: a deletion, taken over as one.
    expect("later" not in home.json() and "later" not in json.loads(home.ours("export", "--to", "-", "--reveal").ok()), sorted(home.json()))
    yield "a top-level field that the client drops is dropped here, too", None


def check_agent(programs):
    home = programs.home("order-agent")
    config = {"agents": {"list": [{"id": "main", "default": True}, {"id": "ops", "agentDir": "~/elsewhere/ops"}]}}
    home.write(f"{STATE}/clawdbot.json", config)
    prepare(home, ["elsewhere/ops"])
    agent = ("--agent", "ops")
    home.theirs("models", "auth", "order", "set", "--provider", "anthropic", *agent, IDS[1]).ok()
    expect(ours_of(home, agent) == theirs_of(home, agent), ours_of(home, agent))
    expect(ours_of(home, agent)["order"] == [IDS[1]], ours_of(home, agent))
    expect(ours_of(home)["order"] is None, "the other agent's order changed")
    home.ours("models", "auth", "order", "set", "--provider", "anthropic", *agent, IDS[2]).ok()
    expect(theirs_of(home, agent)["order"] == [IDS[2]], theirs_of(home, agent))
    kept = json.loads(home.ours("export", *agent, "--to", "-", "--reveal").ok())
    expect(kept == home.json("elsewhere/ops/auth-profiles.json"), "vault and store differ")
    home.ours("audit", "verify").ok()
    yield "an agent with a directory of its own", None
