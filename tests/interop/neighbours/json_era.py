"""An OpenClaw of the JSON era, whose live store is `auth-profiles.json`, and whose lock on it is a regular file."""
import json
import os
import subprocess
import time

from servers import Provider
from world import STORE, configuration, end, expect, files_of_ours, step, until

AGENT = ".openclaw/agents/main/agent"
KEY = "sk-test-loop-0123456789abcdefghij"
OURS = "sk-test-ours-0123456789abcdefghij"
SHARED = f".clawdbot/agents/main/agent/{STORE}"
# How long clawkeep waits for a store's lock before it gives up.
OUR_WAIT_S = 20


def tree(directory):
    """Every file below a directory with its bytes, and the links as they are."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(directory))] = os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def check(world):
    """It lives in ~/.openclaw: clawkeep writes nothing there, and removes nothing."""
    home = world.home("json-era")
    provider = Provider()
    yield f"OpenClaw {world.openclaw['json'].version}", None
    home.write(".openclaw/openclaw.json", configuration(provider, home))

    def paste(profile):
        home.openclaw("json", "models", "auth", "paste-api-key", "--provider", "loop", "--profile-id", profile, stdin=KEY + "\n").ok()

    yield step("it stores a key in its auth-profiles.json", lambda: (paste("loop:one"), expect(home.at(f"{AGENT}/{STORE}").is_file(), "no store")))
    before = tree(home.at(".openclaw"))

    def used():
        home.paste("loop", OURS, "loop:ours").ok()
        home.ours("sync").ok()
        home.ours("models", "auth", "order", "set", "--provider", "loop", "loop:ours").ok()
        home.ours("models", "status", "--check")
        home.ours("watch", "--once").ok()
        home.ours("doctor", "--non-interactive")
        home.ours("doctor", "--repair")
        with home.watch():
            time.sleep(3)

    yield step("clawkeep is used, with doctor --repair and watch", used)

    def untouched():
        after = tree(home.at(".openclaw"))
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        expect(not changed, "changed in ~/.openclaw:", changed)
        expect(not os.path.lexists(home.at(".clawdbot")), "~/.clawdbot was made")

    yield step("~/.openclaw is as it was, and there is no ~/.clawdbot", untouched)

    def explained():
        ran = home.ours("doctor", "--non-interactive")
        expect(".openclaw" in ran.stdout + ran.stderr, "doctor does not name ~/.openclaw")

    yield step("doctor names it", explained)

    def works():
        paste("loop:two")
        profiles = home.json(f"{AGENT}/{STORE}")["profiles"]
        expect(sorted(profiles) == ["loop:one", "loop:two"], sorted(profiles))
        home.openclaw("json", "models", "auth", "order", "set", "--provider", "loop", "loop:two", "loop:one").ok()
        ran = home.openclaw("json", "models", "status", "--check", "--json")
        expect(ran.status == 0, f"models status --check: exit {ran.status}: {ran.stderr[-300:]}")

    yield step("its auth commands work afterwards", works)

    def ready():
        with home.gateway("json"):
            home.ours("sync").ok()
            said = home.openclaw("json", "agent", "--agent", "main", "--message", "hello", "--json", "--timeout", "120").ok()
            expect(Provider.ANSWER in said, f"no answer of the provider: {said[-300:]}")

    yield step("its gateway gets ready, and a turn works", ready)

    def linked():
        """The same, where its own migration left a link."""
        home.at(".clawdbot").symlink_to(home.at(".openclaw"))
        before = {name: text for name, text in tree(home.at(".openclaw")).items() if "agent/" in name or name.startswith("vault")}
        home.ours("sync")
        home.paste("loop", OURS, "loop:through-the-link")
        after = {name: text for name, text in tree(home.at(".openclaw")).items() if "agent/" in name or name.startswith("vault")}
        expect(before == after, "changed through the link:", sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n)))

    yield step("nothing is written through a link ~/.clawdbot to it", linked)
    yield step("nothing of ours but its own store is there", lambda: expect(
        [os.path.basename(path) for path in files_of_ours(home.at(".openclaw"))] == [STORE], files_of_ours(home.at(".openclaw"))))
    provider.close()


class Holder:
    """A process that holds the lock by the client's own code."""

    def __init__(self, world, home):
        client = world.openclaw["json"]
        script = os.path.join(os.path.dirname(__file__), "lock_holder.mjs")
        self.process = home.node("json", script, client.package, home.at(SHARED))
        said = self.process.stdout.readline().strip()
        expect(said == "held", f"the client does not get the lock: {said!r} {self.process.stderr.read()[-300:] if not said else ''}")

    def release(self, line="release"):
        out, err = self.process.communicate(line + "\n", timeout=60)
        expect(out.strip() == "free", f"the client said {out!r} {err[-300:]}")


def check_lock(world):
    """A store that both use, as where an OpenClaw of that time works in ~/.clawdbot."""
    home = world.home("json-era-lock")
    profiles = {"groq:default": {"type": "api_key", "provider": "groq", "key": "sk-test-groq-0123456789abcdef"}}
    home.write(".clawdbot/clawdbot.json", {})
    home.write(SHARED, {"version": 1, "profiles": profiles})
    home.ours("sync").ok()
    lock = home.at(f"{SHARED}.lock")

    def start(*argv, stdin=""):
        process = subprocess.Popen([world.clawkeep, *argv], env=home.environment(), cwd=home.path, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return process

    def waits():
        holder = Holder(world, home)
        payload = json.loads(lock.read_text())
        expect(lock.is_file() and payload["pid"] == holder.process.pid, "the client's lock is not the file it was", payload)
        before = home.at(SHARED).read_bytes()
        ours = start("models", "auth", "paste-api-key", "--provider", "groq", "--profile-id", "groq:ours", stdin=OURS + "\n")
        time.sleep(3)
        expect(ours.poll() is None, f"did not wait: exit {ours.poll()} {ours.stderr.read()[-300:] if ours.poll() is not None else ''}")
        expect(home.at(SHARED).read_bytes() == before, "wrote while the client held the lock")
        holder.release("write")
        _, err = ours.communicate(timeout=60)
        expect(ours.returncode == 0, f"exit {ours.returncode}: {err[-300:]}")
        expect(sorted(home.json(SHARED)["profiles"]) == ["groq:default", "groq:ours", "groq:theirs"], sorted(home.json(SHARED)["profiles"]))
        expect(not lock.exists(), "a lock was left")

    yield step("the client holds it: clawkeep waits, and merges", waits)

    def token_goes_on():
        holder = Holder(world, home)
        try:
            began = time.monotonic()
            ran = home.ours("token", "--profile", "groq:default")
            took = time.monotonic() - began
            expect(ran.status == 0 and took < 2, f"exit {ran.status} after {took:.1f} s: {ran.stderr[-200:]}")
        finally:
            holder.release()

    yield step("token, with nothing to write, does not wait for it", token_goes_on)

    def client_waits_after_ours():
        home.ours("sync").ok()
        Holder(world, home).release()

    yield step("after ours the client gets its lock", client_waits_after_ours)

    def write(payload, age):
        lock.write_text(payload if isinstance(payload, str) else json.dumps(payload, indent=2) + "\n")
        os.utime(lock, (time.time() - age, time.time() - age))

    def stamp(age):
        return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - age))

    def paste(number):
        return home.paste("groq", OURS, f"groq:ours-{number}")

    def gone():
        """The pid of a process that has ended."""
        process = subprocess.Popen(["/bin/true"])
        process.wait()
        return process.pid

    def stale():
        write({"pid": gone(), "createdAt": stamp(60)}, 60)
        paste(1).ok()
        expect(not lock.exists(), "the stale lock is still there")
        expect("groq:ours-1" in home.json(SHARED)["profiles"], "the store was not written")

    yield step("a file of a process that is gone, older than 30 s, is taken over", stale)

    # Its own rule says so as well: a lock of a living process never expires there.
    keeper = subprocess.Popen(["/bin/sleep", "600"])
    try:
        def held_by_older():
            write({"pid": keeper.pid, "createdAt": stamp(-1)}, 3600)
            before = home.at(SHARED).read_bytes()
            ran = paste(2)
            expect(home.at(SHARED).read_bytes() == before and lock.exists(), "a lock of a living process was broken")
            expect("auth-profiles.json.lock" in ran.stderr, f"the lock is not named: exit {ran.status} {ran.stderr[-300:]}")
            lock.unlink()

        yield step("a file of a living process is respected at any age, and named", held_by_older)
    finally:
        end(keeper)

    def odd(what, make):
        def tried():
            make()
            try:
                began = time.monotonic()
                ran = paste(3)
                took = time.monotonic() - began
                expect("auth-profiles.json.lock" in ran.stderr, f"not named after {took:.0f} s: exit {ran.status} {ran.stderr[-300:]}")
                expect(os.path.lexists(lock), "it was removed")
            finally:
                if os.path.lexists(lock):
                    lock.unlink()

        return step(f"{what} in its place is named, and left alone", tried)

    yield odd("a file that is no lock", lambda: write("not a lock\n", 3600))
    yield odd("a named pipe", lambda: os.mkfifo(lock))
    yield odd("a link", lambda: lock.symlink_to("/nowhere"))
    yield step("after all that it writes again", lambda: until(lambda: paste(9).status == 0, OUR_WAIT_S, "the store stays locked"))
    yield step("the record holds", lambda: home.ours("audit", "verify").ok())
