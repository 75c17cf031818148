"""Both write one store at the same time, each under the client's lock: nothing is lost, in either direction."""
import json
import os
import random
import select
import signal
import time

from programs import MAIN, STORE, TIMEOUT_S, Failed, expect

KEY, WORK = "openai:key", "anthropic:work"
IDS = [WORK, "anthropic:default"]
LOCK = f"{STORE}.lock"
# The lock is stale, and anybody's, once it was not refreshed for 30 s; nothing here may come near that.
NOT_STALE_S = 10


def prepare(home):
    def key(name):
        return {"type": "api_key", "provider": name.split(":")[0], "key": f"sk-key-{name}-0123456789", "later": {"x": [1.5]}}

    home.write(STORE, {"version": 1, "profiles": {name: key(name) for name in [KEY, *IDS]}})
    home.ours("sync").ok()


def set_order(home, ids):
    return home.ours("models", "auth", "order", "set", "--provider", "anthropic", *ids)


def finish(process):
    """The end of a started process: its output, once it ended well."""
    out, err = process.communicate(timeout=TIMEOUT_S)
    expect(process.returncode == 0, f"exit {process.returncode}:", err.strip()[-600:])
    return out


def kept(home):
    """What clawkeep has stored."""
    return json.loads(home.ours("--no-sync", "export", "--to", "-", "--reveal").ok())


class Writer:
    """A process of the client that makes one update a line."""

    def __init__(self, home, task, profile):
        self.process = home.start(home.client_command(task, profile), home.client_environment())

    def answer(self, wanted):
        said = self.process.stdout.readline().strip()
        # The client reads without its lock first. Where its other process writes at that moment, in place, it finds half a store,
        # and says that it takes the main agent's, which is the same file here.
        while said.startswith("["):
            said = self.process.stdout.readline().strip()
        expect(said == wanted, f"the client said {said!r}, not {wanted!r}")

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()


def check_updates(programs, seed, count):
    """In each of `count` rounds the client notes a failure and a use, in two processes, at some moment of a run of ours: of a
    sync, or of an order that is set. A lost update would leave its counter behind."""
    draw = random.Random(f"{seed}/updates")
    home = programs.home("updates")
    prepare(home)
    writers = [Writer(home, "failures", KEY), Writer(home, "used", WORK)]
    for writer in writers:
        writer.answer("ready")
    took, orders = 0.1, []
    for turn in range(count):
        began = time.monotonic()
        setting = turn % 3 == 2
        if setting:
            orders.append(draw.sample(IDS, 2))
        argv = ["models", "auth", "order", "set", "--provider", "anthropic", *orders[-1]] if setting else ["sync"]
        ours = home.start(home.ours_command(*argv), home.environment())
        for writer in writers:
            time.sleep(draw.uniform(0, took / 2))  # no waiting for anything: where in our run the update falls
            writer.go()
        finish(ours)
        took = time.monotonic() - began
        for writer in writers:
            writer.answer("done")
        stored = home.json()
        expect(stored["usageStats"][KEY]["errorCount"] == turn + 1, f"{stored['usageStats'][KEY]['errorCount']} of {turn + 1} failures are left")
        expect(not orders or stored["order"]["anthropic"] == orders[-1], f"an order that we set was lost in round {turn}")
    for writer in writers:
        finish(writer.process)
    home.ours("sync").ok()
    stored = home.json()
    stats = stored["usageStats"]
    expect(stats[KEY]["failureCounts"] == {"rate_limit": count}, stats[KEY])
    expect(isinstance(stats[WORK]["lastUsed"], int), stats)
    expect(kept(home) == stored, "vault and store differ")
    expect(all(entry["later"] == {"x": [1.5]} for entry in stored["profiles"].values()), "an unknown field was lost")
    home.ours("audit", "verify").ok()
    events = home.ours("history", "--kind", "credential.used", "--limit", "1000", "--json").json()["events"]
    used = [event for event in events if event["profile"] == WORK and event["origin"] == "auth-profiles.json"]
    expect(used, "no use was observed")
    yield f"{count} failures and {count} uses beside {count} runs of ours, {len(orders)} of them orders: none lost; {len(used)} uses seen", None


def check_their_lock(programs):
    """While the client holds the lock we wait, and then merge what it wrote."""
    home = programs.home("their-lock")
    prepare(home)
    holder = home.start(home.client_command("hold"), home.client_environment())
    expect(holder.stdout.readline() == "held\n", "the client has not got its lock")
    before = home.read()
    waiting = home.start(home.ours_command("models", "auth", "order", "set", "--provider", "anthropic", *IDS), home.environment())
    until = time.monotonic() + 2
    while time.monotonic() < until:
        expect(waiting.poll() is None, "clawkeep did not wait for the client's lock")
        expect(home.read() == before, "clawkeep wrote under the client's lock")
        time.sleep(0.05)
    holder.stdin.write("go\n")
    holder.stdin.flush()
    finish(holder)
    finish(waiting)
    stored = home.json()
    expect(stored["usageStats"] == {KEY: {"lastUsed": 1768000000000}}, "what the client wrote was lost")
    expect(stored["order"] == {"anthropic": IDS}, "what we wrote was lost")
    expect(kept(home) == stored, "vault and store differ")
    yield "the client holds it: we wait, and merge", None


def check_our_lock(programs):
    """While we hold the lock the client waits. We are stopped in the middle to have the time to look."""
    home = programs.home("our-lock")
    prepare(home)
    lock = str(home.at(LOCK))
    for turn in range(200):
        ids = IDS if turn % 2 else IDS[::-1]
        ours = home.start(home.ours_command("models", "auth", "order", "set", "--provider", "anthropic", *ids), home.environment())
        while ours.poll() is None and not os.path.isdir(lock):
            pass
        ours.send_signal(signal.SIGSTOP)
        # Until it has really stopped, or ended: a signal takes its time.
        os.waitid(os.P_PID, ours.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if ours.poll() is None and os.path.isdir(lock):
            break
        ours.send_signal(signal.SIGCONT)
        finish(ours)
    else:
        raise Failed("clawkeep was never caught with the lock in 200 tries")
    stopped = time.monotonic()
    try:
        said = home.client("try").ok().strip()
        expect(said == "held", f"the client takes our lock for {said}")
        writer = Writer(home, "used", WORK)
        writer.answer("ready")
        writer.go()
        ready, _, _ = select.select([writer.process.stdout], [], [], 3)
        expect(not ready, "the client did not wait for our lock")
    finally:
        held = time.monotonic() - stopped
        ours.send_signal(signal.SIGCONT)
    expect(held < NOT_STALE_S, f"held for {held:.0f} s: too long to say anything")
    finish(ours)
    writer.answer("done")
    finish(writer.process)
    said = home.client("try").ok().strip()
    expect(said == "free", f"after our lock the client finds it {said}")
    home.ours("sync").ok()
    stored = home.json()
    expect(stored["order"] == {"anthropic": ids}, "what we wrote was lost")
    expect(stored["usageStats"][WORK]["errorCount"] == 0, "what the client wrote was lost")
    expect(kept(home) == stored, "vault and store differ")
    expect(home.at(MAIN).is_dir(), "no agent directory")
    yield "we hold it: the client waits, and nothing is lost", None
