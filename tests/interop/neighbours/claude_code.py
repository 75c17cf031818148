"""The real Claude Code logs in and out, and `clawkeep watch` follows within two seconds.

Its login goes to a login server on loopback (`servers.LoginServer`), so everything it writes is its own doing.
"""
import json
import shutil
import time

from servers import LoginServer
from world import CLAUDE, FOLLOWED_S, expect, step, until

ID = "anthropic:claude-cli"


def held(home):
    entry = home.kept().get(ID, {})
    return entry.get("access") or entry.get("token")


def logged_in(home, server, **where):
    """A real login. Returns its access token, as Claude Code wrote it."""
    home.claude(server, "auth", "login", login=True, **where).ok()
    path = where["config_dir"] / ".credentials.json" if where else home.at(CLAUDE)
    token = json.loads(path.read_text())["claudeAiOauth"]["accessToken"]
    expect(token == server.tokens[-1], "Claude Code wrote another token than it got")
    return token


def says_logged_out(home):
    """Whether `models status` shows the logout."""
    ran = home.ours("models", "status")
    return "logged out" in (ran.stdout + ran.stderr).lower()


def check(world, which="latest"):
    """`before` is a version that names no account in `.credentials.json`, and empties the file for a moment in each login."""
    home = world.home(f"claude-code-{which}")
    home.claude_code = world.claude_code[which]
    server = LoginServer(home.at("tmp/login-server"))
    home.write(".clawdbot/clawdbot.json", {})
    version = home.claude_code.parent.joinpath("package.json")
    yield f"Claude Code {json.loads(version.read_text())['version']}", None

    with home.watch() as watch:
        def first_login():
            token = logged_in(home, server)
            until(lambda: held(home) == token, FOLLOWED_S, "the login is not in the vault")

        yield step("a login is in the vault within two seconds", first_login)

        def no_refresh_token():
            refresh = home.json(CLAUDE)["claudeAiOauth"]["refreshToken"]
            out = home.ours("--no-sync", "export", "--to", "-", "--reveal").ok()
            expect(refresh not in out, "the vault has Claude Code's refresh token")

        yield step("its refresh token stays with Claude Code", no_refresh_token)
        yield step("models status --check is content", lambda: expect(
            home.ours("models", "status", "--check").status == 0, home.ours("models", "status", "--check").stdout[-300:]))
        if which == "latest":  # earlier ones do not note it
            yield step("the date on which a person must log in again is shown", lambda: expect(
                "login expires in" in home.ours("models", "status").stdout, home.ours("models", "status").stdout[-300:]))

        def again():
            for _ in range(4):
                token = logged_in(home, server)
                until(lambda: held(home) == token, FOLLOWED_S, "a login is not in the vault")
            expect("logged out" not in home.watch_log(), "a login was reported as a logout:", home.watch_log().count("is logged out"), "of 4")

        yield step("a login over a login is no logout to the watch", again)

        def logout():
            home.claude(server, "auth", "logout").ok()
            expect(not home.at(CLAUDE).exists(), "Claude Code left its file")
            until(lambda: "logged out" in home.watch_log(), FOLLOWED_S, "the watch does not report the logout")

        yield step("the watch reports a logout within two seconds", logout)
        yield step("models status shows it", lambda: expect(says_logged_out(home), home.ours("models", "status").stdout[-300:]))
        yield step("models status --check exits 1", lambda: expect(
            home.ours("models", "status", "--check").status == 1, "exit", home.ours("models", "status", "--check").status))

        def handed_out():
            ran = home.ours("token", "--provider", "anthropic")
            expect(ran.status == 0 and ran.stdout.strip() == server.tokens[-1], f"exit {ran.status}: {ran.stderr[-200:]}")
            expect("logged out" in ran.stderr.lower(), f"no warning: {ran.stderr[-200:]!r}")

        yield step("token hands out what is still valid, with a warning", handed_out)

        def second_login():
            token = logged_in(home, server)
            until(lambda: held(home) == token, FOLLOWED_S, "the new login is not in the vault")
            expect(not says_logged_out(home), "models status still shows the logout")
            expect(home.ours("models", "status", "--check").status == 0, "models status --check is not content")

        yield step("a new login of the same account ends that within two seconds", second_login)

        def other_account():
            server.account = "account-two"
            token = logged_in(home, server)
            until(lambda: held(home) == token, FOLLOWED_S, "the login is not in the vault")
            events = home.ours("--no-sync", "history", "--json", "--limit", "20").json()["events"]
            seen = [(event["kind"], event["detail"].get("by")) for event in events if event["kind"] in ("sync.applied", "profile.updated")]
            expect(seen[0] == ("profile.updated", "other-account"), "the newest events are", seen[:3])

        yield step("a login of another account is named in the history", other_account)

        def said_once():
            time.sleep(1)
            said = [line for line in home.watch_log().splitlines() if "another account" in line]
            expect(len(said) == 1, len(said), "lines:", said)
            expect(f"Warning: {ID}" in said[0], "the profile's id is not as it is:", said[0])

        yield step("the watch says it once", said_once)

        def offered():
            said = home.ours("doctor", "--non-interactive").stdout
            expect("another account" in said and "two profiles" in said, f"doctor does not offer to keep both: {said[-300:]}")

        yield step("doctor offers to keep both as two profiles", offered)

        def still_offered():
            ran = home.ours("token", "--provider", "anthropic")
            expect("another account" in ran.stderr, f"token does not warn: {ran.stderr[-200:]!r}")
            expect("another account" not in home.ours("token", "--provider", "anthropic").stderr, "token warns each time")
            offered()
            token = logged_in(home, server)
            until(lambda: held(home) == token, FOLLOWED_S, "the login is not in the vault")
            offered()

        yield step("also after token has warned of it, and after a new login of that account", still_offered)

        def logout_meanwhile():
            home.at(CLAUDE).write_text("{}")
            log = home.watch_log()
            until(lambda: "logged out" in home.watch_log()[len(log):], FOLLOWED_S, f"the watch said only {home.watch_log()[len(log):]!r}")

        yield step("the watch reports a logout while that stands, here one that leaves an empty file", logout_meanwhile)
        yield step("the watch ran all the time", lambda: expect(watch.poll() is None, f"exit {watch.poll()}: {home.watch_log()[-300:]}"))
    yield step("the record holds", lambda: home.ours("audit", "verify").ok())
    server.close()
    shutil.rmtree(home.at("tmp/login-server"))


def check_account_in_file(world):
    """Claude Code from 2.1.332 on names the account in `.credentials.json`. Its configuration may be elsewhere, or written later."""
    home = world.home("claude-code-account")
    server = LoginServer(home.at("tmp/login-server"))
    home.write(".clawdbot/clawdbot.json", {})

    def without_configuration():
        token = logged_in(home, server)
        home.at(".claude.json").unlink()
        return token

    def one_account():
        without_configuration()
        home.ours("sync").ok()
        token = without_configuration()
        home.ours("sync").ok()
        expect(held(home) == token, "a new login of the same account is not in the vault")

    yield step("two logins of one account", one_account)

    def another():
        server.account = "account-two"
        without_configuration()
        ran = home.ours("sync")
        events = home.ours("--no-sync", "history", "--json", "--limit", "20").json()["events"]
        text = (json.dumps(events) + ran.stdout + ran.stderr).lower()
        expect("account" in text.replace("account-two", "").replace("account-one", "").replace("claude-code-account", ""),
               f"nothing names a change of account: {[(e.get('kind'), e.get('outcome')) for e in events[:4]]}")

    yield step("another account, named in the credentials file only, does not arrive silently", another)
    server.close()


def check_two_directories(world):
    """Claude Code in two configuration directories: a logout in one is none in the other, and they do not take turns."""
    home = world.home("claude-code-two")
    server = LoginServer(home.at("tmp/login-server"))
    home.write(".clawdbot/clawdbot.json", {})
    work = home.at("work")
    work.mkdir(mode=0o700)
    mine = {}

    def both():
        mine["token"] = logged_in(home, server)
        home.ours("sync").ok()
        server.account = "account-two"
        logged_in(home, server, config_dir=work)

    yield step("two directories, two accounts", both)

    def no_turns():
        for _ in range(2):
            home.ours("sync").ok()
            expect(held(home) == mine["token"], "the login of ~/.claude was replaced")
            home.env = {"CLAUDE_CONFIG_DIR": str(work)}
            home.ours("sync")
            home.env = {}
            expect(held(home) == mine["token"], "a sync with the other directory replaced the login silently")

    yield step("a sync with the other directory does not replace the login", no_turns)

    def logout():
        home.claude(server, "auth", "logout", config_dir=work).ok()
        home.env = {"CLAUDE_CONFIG_DIR": str(work)}
        home.ours("sync")
        home.env = {}
        home.ours("sync").ok()
        expect(not says_logged_out(home), "a logout in the other directory counts for ~/.claude")
        expect(home.ours("models", "status", "--check").status == 0, "models status --check is not content")

    yield step("a logout in the other directory is none here", logout)
    server.close()
