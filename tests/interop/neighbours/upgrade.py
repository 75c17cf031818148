"""OpenClaw's real upgrade of a Clawdbot home that has a vault in it, while `clawkeep watch` runs."""
import os
import time

from servers import Provider
from world import CLAUDE, STORE, configuration, expect, files_of_ours, gist, step, until, vaults
from gateway import turn

KEY = "sk-test-loop-0123456789abcdefghij"
NEW = ".local/share/clawkeep"
# Longer than `clawkeep watch` takes to notice a store that is gone.
NOTICED_S = 5


def prepare(home, provider):
    """A home as Clawdbot leaves it, with a vault. No provider in it is one for which OpenClaw would install a plugin."""
    settings = configuration(provider, home)
    settings["auth"] = {"profiles": {"loop:default": {"provider": "loop", "mode": "api_key"}}}
    home.write(".clawdbot/clawdbot.json", settings)
    home.at(".clawdbot/credentials").mkdir(mode=0o700)
    home.at(".clawdbot/agents/main/sessions").mkdir(mode=0o700, parents=True)
    home.write(".clawdbot/agents/main/sessions/sessions.json", {})
    profiles = {"loop:default": {"type": "api_key", "provider": "loop", "key": KEY},
                "acme:default": {"type": "api_key", "provider": "acme", "key": "sk-test-acme-0123456789abcdef"}}
    home.write(f".clawdbot/agents/main/agent/{STORE}", {"version": 1, "profiles": profiles})
    home.ours("sync").ok()
    home.paste("example", "sk-test-example-0123456789abcdef").ok()


def login(home, name):
    token = f"sk-ant-oat01-{name}-" + "A" * 80
    made = {"accessToken": token, "refreshToken": f"sk-ant-ort01-{name}-" + "R" * 80,
            "expiresAt": int(time.time() * 1000) + 8 * 3_600_000, "scopes": ["user:inference"], "subscriptionType": "max"}
    home.write(CLAUDE, {"claudeAiOauth": made})
    return token


def stores(home):
    return [path for path in files_of_ours(home.at(".openclaw")) if os.path.basename(path) == STORE]


def check(world):
    home = world.home("upgrade")
    provider = Provider()
    yield step("a Clawdbot home with a vault in it", lambda: prepare(home, provider))
    yield step("the vault is in ~/.clawdbot", lambda: expect(vaults(home) == [".clawdbot/vault.db"], vaults(home)))
    kept = home.kept()
    inode = os.stat(home.at(".clawdbot/vault.db")).st_ino

    def first_start():
        """It moves the directory. That it then wants `doctor --fix` for Clawdbot's own store is not of our doing."""
        try:
            with home.gateway("latest"):
                pass
        except Exception as error:
            expect("credential migration" in str(error), str(error))
        link = home.at(".clawdbot")
        expect(link.is_symlink() and os.path.realpath(link) == os.path.realpath(home.at(".openclaw")), "not a link to ~/.openclaw")
        expect(os.stat(home.at(".openclaw/vault.db")).st_ino == inode, "the vault was not moved along as it is")

    with home.watch() as watch:
        yield step("its first start moves ~/.clawdbot with the vault, and leaves a link", first_start)

        def fixed():
            ran = home.openclaw("latest", "doctor", "--fix", "--non-interactive", "--yes")
            text = ran.stdout + ran.stderr
            expect(ran.status == 0 and "remains pending" not in text, f"exit {ran.status}: {gist(text)}")

        yield step("doctor --fix takes the profiles over", fixed)
        time.sleep(NOTICED_S)
        yield step("clawkeep watch is still running", lambda: expect(watch.poll() is None, f"exit {watch.poll()}: {home.watch_log()[-300:]}"))
        yield step("no store was written again", lambda: expect(not stores(home), stores(home), home.watch_log()[-300:]))

        def ready():
            with home.gateway("latest"):
                turn(home, provider, KEY)

        yield step("the gateway gets ready, and a turn works with the key it took over", ready)

        def followed():
            token = login(home, "after-the-move")
            until(lambda: any(each.get("access", each.get("token")) == token for each in home.kept().values()), 15, "the watch does not follow")

        yield step("the watch follows a login after the move", followed)
        yield step("the vault in use is still the one that was moved",
                   lambda: expect(vaults(home) == [".openclaw/vault.db"], vaults(home)))

        def reported():
            ran = home.ours("doctor", "--non-interactive")
            text = ran.stdout + ran.stderr
            expect(".openclaw" in text, f"doctor does not name ~/.openclaw: {text[-300:]}")

        yield step("doctor reports the vault in OpenClaw's directory", reported)

        def repaired():
            ran = home.ours("doctor", "--repair")
            expect(vaults(home) == [f"{NEW}/vault.db"], vaults(home), f"exit {ran.status}", (ran.stdout + ran.stderr)[-400:])
            left = files_of_ours(home.at(".openclaw"))
            expect(not left, "left in ~/.openclaw:", left)

        yield step("doctor --repair moves it out, beside the watch", repaired)

        def whole():
            after = home.kept()
            missing = [name for name in kept if after.get(name) != kept[name]]
            expect(not missing, "not as they were:", missing)
            home.ours("audit", "verify").ok()

        yield step("every credential is as it was, and the record holds", whole)

        def followed_again():
            token = login(home, "after-the-repair")
            until(lambda: any(each.get("access", each.get("token")) == token for each in home.kept().values()), 15,
                  f"the watch does not follow; it said {home.watch_log()[-300:]}")
            expect(watch.poll() is None, f"the watch ended: {watch.poll()}")
            expect(len(vaults(home)) == 1, vaults(home))

        yield step("the same watch follows a login after the repair", followed_again)
    yield step("the gateway gets ready once more, with nothing of ours in its directory", lambda: (
        ready(), expect(not files_of_ours(home.at(".openclaw")), files_of_ours(home.at(".openclaw")))))
    provider.close()


def check_empty(world):
    """A ~/.clawdbot that only clawkeep uses, beside OpenClaw: the old program's home. The repair makes the gateway start."""
    home = world.home("upgrade-ours-only")
    provider = Provider()
    home.write(".openclaw/openclaw.json", configuration(provider, home))
    home.at(".clawdbot").mkdir(mode=0o700)
    home.write(".clawdbot/clawkeep.toml", "# clawkeep's settings\n")
    yield step("a vault in a ~/.clawdbot that only clawkeep uses", lambda: (
        home.paste("groq", "sk-test-groq-0123456789abcdef").ok(), expect(vaults(home) == [".clawdbot/vault.db"], vaults(home))))
    kept = home.kept()

    def refused():
        try:
            with home.gateway("latest"):
                pass
        except Exception as error:
            expect("pending" in str(error), str(error))
            return
        expect(False, "the gateway got ready: this OpenClaw no longer minds ~/.clawdbot")

    yield step("with it the gateway refuses, as known", refused)

    def repaired():
        ran = home.ours("doctor", "--repair")
        left = sorted(path.name for path in home.at(".clawdbot").glob("*"))
        expect(not os.path.lexists(home.at(".clawdbot")), "~/.clawdbot is still there:", left, (ran.stdout + ran.stderr)[-400:])
        expect(vaults(home) == [f"{NEW}/vault.db"], vaults(home))
        expect(home.kept() == kept, "not the credentials that were there")
        expect(home.at(f"{NEW}/clawkeep.toml").is_file(), "the settings did not come along")
        home.ours("audit", "verify").ok()

    yield step("doctor --repair moves vault and settings, and leaves no ~/.clawdbot", repaired)

    def ready():
        with home.gateway("latest"):
            pass

    yield step("the gateway gets ready", ready)
    provider.close()


def check_window(world):
    """Between OpenClaw's `rename` and its `symlink` there is no ~/.clawdbot. Whoever makes one then ends its upgrade. The moment is
    stretched here to some seconds."""
    home = world.home("upgrade-window")
    provider = Provider()
    prepare(home, provider)
    provider.close()
    kept = home.kept()
    old, new = home.at(".clawdbot"), home.at(".openclaw")

    def absent():
        expect(not os.path.lexists(old), "~/.clawdbot was made:", sorted(os.listdir(old)) if old.is_dir() else "")

    with home.watch() as watch:
        old.rename(new)
        login(home, "in-the-window")

        def waits():
            time.sleep(3)
            absent()
            expect(watch.poll() is None, f"the watch ended: {watch.poll()}: {home.watch_log()[-300:]}")

        yield step("the watch makes no ~/.clawdbot meanwhile", waits)

        def commands():
            home.ours("sync")
            home.ours("models", "status")
            home.ours("models", "auth", "list")
            absent()
            expect(vaults(home) == [".openclaw/vault.db"], "another vault:", vaults(home))

        yield step("no command makes ~/.clawdbot or another vault meanwhile", commands)
        if not os.path.lexists(old):
            old.symlink_to(new)

        def followed():
            token = login(home, "after-the-window")
            until(lambda: any(each.get("access", each.get("token")) == token for each in home.kept().values()), 15,
                  f"the watch does not follow; it said {home.watch_log()[-300:]}")

        yield step("with the link there the watch goes on", followed)
    yield step("every credential is as it was", lambda: expect(
        all(home.kept().get(name) == entry for name, entry in kept.items()), "not the credentials that were there"))
