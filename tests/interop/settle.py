"""Claude Code is logged in. Each program stores its login in its own way, and they must not write back and forth.

The client stores Claude Code's refresh token as well, clawkeep never does: what it has of it came in the client's entry.
"""
import contextlib
import json
import sqlite3
import time

from programs import CLAUDE, MAIN, STATE, STORE, expect

ID = "anthropic:claude-cli"
HOUR = 3_600_000


def login(home, name, hours):
    """Logs Claude Code in with made-up tokens of the real shape."""
    made = {"accessToken": f"sk-ant-oat01-{name}-" + "A" * 80, "refreshToken": f"sk-ant-ort01-{name}-" + "R" * 80,
            "expiresAt": int(time.time() * 1000) + hours * HOUR}
    home.write(CLAUDE, {"claudeAiOauth": made | {"scopes": ["user:inference"], "subscriptionType": "max"}})
    return made


def entry(home):
    return home.json()["profiles"][ID]


def token(home):
    stored = entry(home)
    return stored.get("access") or stored.get("token")


def rounds(home, programs):
    """The store's bytes after each run."""
    seen = []
    for program in programs:
        {"ours": home.ours, "theirs": home.theirs}[program]("models", "status", "--json").ok()
        seen.append(home.at(STORE).read_bytes())
    return seen


def in_vault(home):
    """What clawkeep has stored, in the clear."""
    return home.ours("--no-sync", "export", "--to", "-", "--reveal").ok()


def owner(home):
    """Who may refresh the profile, as the vault has it."""
    with contextlib.closing(sqlite3.connect(f"file:{home.at(STATE)}/vault.db?mode=ro", uri=True)) as vault:
        rows = vault.execute("SELECT owner FROM profiles JOIN terms ON terms.id = profile WHERE text = ?", (ID,)).fetchall()
    return [owner for (owner,) in rows]


def sound(home, secrets):
    """The record holds, and nothing but the store, the login and the client's own files has a secret in the clear."""
    home.ours("audit", "verify").ok()
    for path, content in home.plain_files().items():
        for secret in secrets:
            expect(secret.encode() not in content, f"{path.name} has a secret in the clear")


def check(programs, first):
    other = {"ours": "theirs", "theirs": "ours"}[first]
    name = f"{first} first"
    home = programs.home(f"settle-{first}")
    home.write(STORE, {"version": 1, "profiles": {"openai:key": {"type": "api_key", "provider": "openai", "key": "sk-" + "k" * 40}}})
    made = login(home, "one", 8)

    seen = rounds(home, [first, other] * 3)
    settled = seen[1 if first == "ours" else 0]
    expect(seen[1:] == [settled] * 5, f"the store changed again: {[len(text) for text in seen]}")
    expect(token(home) == made["accessToken"], "not Claude Code's token")
    expect(owner(home) == ["claude-code"], "owner", owner(home))
    if first == "ours":
        expect(made["refreshToken"] not in seen[0].decode(), "clawkeep wrote Claude Code's refresh token")
    yield f"{name}: the store stays as it is from the second run on", None

    for turn, after in enumerate((["ours", "theirs"], ["theirs", "ours"])):
        rotated = login(home, f"rotated{turn}", 10 + turn)
        taken = rounds(home, after)[after.index("ours")].decode()
        expect(token(home) == rotated["accessToken"], "a rotated token was not taken over")
        expect(rotated["refreshToken"] not in taken, "clawkeep wrote Claude Code's refresh token")
        expect(made["refreshToken"] not in taken, "an outdated refresh token stayed")
        kept = in_vault(home)
        expect(after == ["ours", "theirs"] or rotated["refreshToken"] not in kept, "the vault has Claude Code's refresh token")
        seen = rounds(home, ["theirs", "ours"] * 3)
        expect(seen == [seen[0]] * 6, f"the store changed again after a rotation: {[len(text) for text in seen]}")
        expect(json.loads(in_vault(home))["profiles"][ID] == entry(home), "vault and store differ")
        made = rotated
    expect(owner(home) == ["claude-code"], "owner", owner(home))
    sound(home, [made["accessToken"], made["refreshToken"]])
    yield f"{name}: two rotations are taken over, and settle again", None


def check_ours_alone(programs):
    """Where the client never ran, Claude Code's refresh token is nowhere but in Claude Code's file."""
    home = programs.home("settle-alone")
    # The gateway's directory exists, so the store is written there.
    home.write(f"{STATE}/clawdbot.json", {})
    made = login(home, "alone", 8)
    home.ours("sync").ok()
    made_later = login(home, "later", 9)
    home.ours("sync").ok()
    kept = in_vault(home)
    expect(made_later["accessToken"] in kept, "the vault has not the rotated token")
    for text in (kept, home.read()):
        expect("sk-ant-ort01" not in text, "Claude Code's refresh token was taken")
    sound(home, [made["refreshToken"], made_later["refreshToken"], made_later["accessToken"]])
    expect(home.at(MAIN).is_dir(), "no agent directory")
    yield "alone: the refresh token stays with Claude Code", None
