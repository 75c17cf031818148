"""The binding against a vault of its own. `CLAWKEEP` names the program, which stores the credentials."""
import os
import subprocess
import sys
import threading
from pathlib import Path

import clawkeep
import pytest

KEY = "sk-proj-made-up-0123456789"
PROGRAM = os.environ.get("CLAWKEEP", "clawkeep")


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("CLAWKEEP_", "CLAWDBOT_", "XDG_", "CLAUDE_", "CODEX_", "DBUS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*args, text=""):
    return subprocess.run([PROGRAM, "-q", *args], input=text, text=True, check=True, capture_output=True).stdout


@pytest.fixture
def client(home):
    client = clawkeep.Client("test")
    run("models", "auth", "paste-api-key", "--provider", "openai", text=KEY)
    return client


def kind_of(call, *args, **named):
    with pytest.raises(clawkeep.Error) as raised:
        call(*args, **named)
    assert KEY not in str(raised.value)
    return raised.value.kind


def test_a_token_is_handed_out_and_recorded(client):
    token = client.token("openai")
    assert (token.secret, token.profile, token.provider, token.kind, token.expires) == (
        KEY, "openai:manual", "openai", "api_key", None)
    assert KEY not in repr(token)
    assert client.token_for("openai:manual", session="s1").secret == KEY
    used = client.history(profile="openai:manual", limit=2)
    assert [event["kind"] for event in used] == ["credential.used"] * 2
    assert used[0]["program"] == "test" and used[0]["session"] == "s1" and used[0]["pid"] == os.getpid()
    assert client.verify() >= 4


def test_marks_and_order_are_obeyed(client):
    client.mark_failed("openai:manual", "rate_limit")
    [status] = client.status()
    assert status.profile == "openai:manual" and status.skipped_until
    client.mark_used("openai:manual")
    [status] = client.status()
    assert status.skipped_until is None
    client.set_order("openai", ["openai:manual"])
    assert "openai:manual" in run("models", "auth", "order", "get", "--provider", "openai")
    assert client.sync() in (True, False)


HOLD = """import sqlite3, sys
vault = sqlite3.connect(sys.argv[1], isolation_level=None)
vault.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()"""
VAULTS = Path(__file__).parents[3] / "tests/fixtures/vectors/vaults"


def test_each_bad_vault_has_a_kind(client, home):
    vault = home / ".local/share/clawkeep/vault.db"
    # Another process: the locks of this one do not stand in its own way.
    with subprocess.Popen([sys.executable, "-c", HOLD, vault], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"held\n"
        assert kind_of(client.token, "openai") == "busy"
        writer.stdin.close()
    assert client.token("openai").secret == KEY
    newer = home / "newer.db"
    newer.write_bytes((VAULTS / "newer-schema.db").read_bytes())
    newer.chmod(0o600)
    assert kind_of(clawkeep.Client, "test", vault=newer) == "newer"


def test_on_read_only_media_nothing_is_handed_out(client, home):
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    mount = 'mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME" || exit 99; exec "$@"'
    use = "import clawkeep\ntry: clawkeep.Client('t').token('openai')\nexcept clawkeep.Error as e: print(e.kind)"
    try:
        done = subprocess.run([*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", use], text=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout == "read_only\n"


def test_each_bad_input_has_a_kind(client, home):
    assert kind_of(client.token, "opnai") == "unknown_provider"
    assert kind_of(client.token, "anthropic") == "no_credential"
    assert kind_of(client.token_for, "openai:none") == "unknown_profile"
    assert kind_of(client.token, "openai", min_valid=-1) == "bad_argument"
    assert kind_of(client.mark_failed, "openai:manual", "tired") == "bad_argument"
    assert kind_of(clawkeep.Client, "test", vault=home / "none" / "vault.db", create=False) == "absent"
    locked = home / "locked"
    clawkeep.Client("test", state_dir=locked, passphrase="six words that nobody has heard")
    assert kind_of(clawkeep.Client, "test", state_dir=locked) == "locked"
    for key in (home / ".config/clawkeep").glob("*.key"):
        key.unlink()
    assert kind_of(clawkeep.Client, "test") == "missing_key"
    vault = home / ".local/share/clawkeep/vault.db"
    vault.write_bytes(b"SQLite format 3\0" + bytes(4080))
    assert kind_of(clawkeep.Client, "test") == "damaged"


def test_threads_share_a_client(client):
    secrets = []
    threads = [threading.Thread(target=lambda: secrets.append(client.token("openai").secret)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert secrets == [KEY] * 8
    assert len(client.history(profile="openai:manual", limit=None)) >= 9


def test_a_forked_child_is_refused(client):
    child = os.fork()
    if child == 0:
        try:
            client.token("openai")
            os._exit(1)
        except clawkeep.Error as error:
            os._exit(0 if error.kind == "forked" else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
