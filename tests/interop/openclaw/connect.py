"""`clawkeep connect openclaw` and `disconnect` with a real gateway that runs before, during and after.

    connect.py CLIENT CLAWKEEP     CLIENT is the directory that npm installed OpenClaw and Node.js into
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "neighbours"), str(HERE.parent)]
from servers import Provider  # noqa: E402
from world import free_port  # noqa: E402

LOOP, CONF, TOKEN = "sk-test-loop-0123456789abcdefghij", "sk-test-conf-0123456789abcdefghij", "gateway-token-0123456789abcdef"
VARIABLE = "sk-test-variable-0123456789abcdefgh"
ANTHROPIC = "sk-ant-api03-" + "A" * 80
SECRETS = [LOOP, CONF, TOKEN, VARIABLE, ANTHROPIC]
ROTATED = "sk-test-rotated-0123456789abcdefghij"


class Home:
    def __init__(self, client, clawkeep):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="clawkeep-connect-"))
        bin_dir = self.path / "bin"
        bin_dir.mkdir()
        node = next(client.glob("node_modules/node-*-*/bin/node"))
        (bin_dir / "openclaw").write_text(f'#!/bin/sh\nexec "{node}" "{client}/node_modules/openclaw/openclaw.mjs" "$@"\n')
        (bin_dir / "openclaw").chmod(0o755)
        # A link, as packages install it: OpenClaw accepts none.
        (bin_dir / "clawkeep").symlink_to(clawkeep)
        (self.path / "tmp").mkdir(mode=0o700)
        self.env = {"HOME": str(self.path), "PATH": f"{bin_dir}:/usr/bin:/bin", "TMPDIR": str(self.path / "tmp"), "NO_COLOR": "1",
                    "OPENCLAW_NO_RESPAWN": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9",
                    "NO_PROXY": "127.0.0.1,localhost", "NODE_USE_ENV_PROXY": "1"}
        self.dir = self.path / ".openclaw"

    def run(self, *words, text=""):
        done = subprocess.run(words, env=self.env, cwd=self.path, input=text, text=True, capture_output=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def audit(self):
        _, out, err = self.run("openclaw", "secrets", "audit", "--json", "--allow-exec")
        audit = json.loads(out)
        return audit["status"], audit["summary"], audit["findings"]

    def start(self, *words):
        log = open(self.path / f"{words[0]}-{time.time_ns()}.log", "w+")
        return subprocess.Popen(words, env=self.env, cwd=self.path, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL), log.name

    def files_with(self, secrets):
        found = []
        for where, _, names in os.walk(self.dir):
            for name in names:
                path = pathlib.Path(where, name)
                raw = path.read_bytes() if path.is_file() else b""
                found += [f"{path.relative_to(self.path)} ({secret[:12]}…)" for secret in secrets if secret.encode() in raw]
        return found


def until(holds, seconds):
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(0.02)
    return time.monotonic() - began


def main():
    home = Home(pathlib.Path(sys.argv[1]), sys.argv[2])
    provider = Provider()
    failed, running = 0, []

    def check(what, holds, *seen):
        nonlocal failed
        failed += not holds
        print(f"{'PASS' if holds else 'FAIL'}  {what}", *seen, flush=True)

    def turn(key):
        seen = len(provider.authorizations)
        status, out, err = home.run("openclaw", "agent", "--agent", "main", "--message", "hello", "--json", "--timeout", "120")
        return provider.authorizations[seen:] and set(provider.authorizations[seen:]) == {f"Bearer {key}"}, \
            provider.authorizations[seen:], err[-200:]

    try:
        port = free_port()
        model = [{"id": "m1", "name": "m1", "contextWindow": 32000, "maxTokens": 1024}]
        base = {"baseUrl": f"http://127.0.0.1:{provider.port}/v1", "api": "openai-completions", "models": model}
        home.dir.mkdir(mode=0o700)
        (home.dir / "openclaw.json").write_text(json.dumps({
            "gateway": {"mode": "local", "port": port, "bind": "loopback", "auth": {"mode": "token", "token": TOKEN}},
            "models": {"mode": "merge", "providers": {"loop": base, "conf": {**base, "apiKey": CONF}}},
            "agents": {"defaults": {"model": {"primary": "loop/m1"}}},
            "discovery": {"mdns": {"mode": "off"}}, "logging": {"file": str(home.path / "openclaw.log")}}, indent=2))
        (home.dir / "openclaw.json").chmod(0o600)
        (home.dir / ".env").write_text(f"OPENAI_API_KEY={VARIABLE}\nOTHER=1\n")
        (home.dir / ".env").chmod(0o600)
        home.run("openclaw", "models", "auth", "paste-api-key", "--provider", "loop", text=LOOP + "\n")
        home.run("openclaw", "models", "auth", "paste-api-key", "--provider", "anthropic", text=ANTHROPIC + "\n")
        gateway, log = home.start("openclaw", "gateway", "run")
        running.append(gateway)
        until(lambda: "[gateway] ready" in open(log).read() or gateway.poll() is not None, 120)
        check("the gateway is ready", "[gateway] ready" in open(log).read(), open(log).read()[-300:] if gateway.poll() is not None else "")
        check("a turn before sends OpenClaw's own key", *turn(LOOP))
        status, summary, _ = home.audit()
        check("its audit finds plain keys before", summary["plaintextCount"] >= 5, status, summary["plaintextCount"])
        before = {name: (home.dir / name).read_bytes() for name in ("openclaw.json", ".env")}

        home.run("clawkeep", "init", "--key", "keyfile")
        code, out, err = home.run("clawkeep", "connect", "openclaw")
        check("without a terminal and --yes nothing changes", code == 64 and (home.dir / ".env").read_bytes() == before[".env"], code)
        code, out, err = home.run("clawkeep", "connect", "openclaw", "--yes")
        check("connect succeeds", code == 0, out, err if code else "")
        check("nothing secret is shown", not any(secret in out + err for secret in SECRETS))
        status, summary, findings = home.audit()
        check("openclaw secrets audit is clean", status == "clean", status, summary, findings)
        check("0 plain keys are left under ~/.openclaw", not home.files_with(SECRETS), home.files_with(SECRETS))
        copy = home.path / ".local/share/clawkeep/bin/clawkeep"
        check("OpenClaw runs a copy that belongs to its user", copy.is_file() and copy.stat().st_uid == os.getuid() and not copy.is_symlink())
        check("the gateway still runs", gateway.poll() is None)
        check("a turn after sends the vault's key", *turn(LOOP))
        uses = home.run("clawkeep", "history", "--kind", "credential.used", "--json")[1]
        check("the record names openclaw", '"node"' in uses or "openclaw" in uses, uses[:200])

        watch, watch_log = home.start("clawkeep", "watch")
        running.append(watch)
        until(lambda: "asked for its keys again" in open(watch_log).read(), 30)
        told = open(watch_log).read().count("asked for its keys again")
        code, out, err = home.run("clawkeep", "add", "loop", text=ROTATED + "\n")
        began = time.monotonic()
        took = until(lambda: open(watch_log).read().count("asked for its keys again") > told, 30)
        check("OpenClaw has the rotated key within 5 s of add", took is not None and took < 5, f"{took} s", err if code else "")
        check("a turn sends the rotated key", *turn(ROTATED))
        check("still 0 plain keys", not home.files_with([*SECRETS, ROTATED]), home.files_with([*SECRETS, ROTATED]))
        time.sleep(3)
        check("its own uses make no further reload", open(watch_log).read().count("asked for its keys again") == told + 1)
        status = home.run("clawkeep", "models", "status", "--check", "--agent", "openclaw/main")
        check("models status --check stands for openclaw/main", status[0] == 0, status[0], status[2][-200:])

        home.run("clawkeep", "add", "loop", text=LOOP + "\n")
        until(lambda: open(watch_log).read().count("asked for its keys again") > told + 1, 30)
        watch.terminate()
        watch.wait(20)
        code, out, err = home.run("clawkeep", "disconnect", "openclaw", "--yes")
        check("disconnect succeeds", code == 0, out, err if code else "")
        for name, text in before.items():
            now = (home.dir / name).read_bytes()
            check(f"{name} is what it was", now == text, now.decode() if now != text else "")
        check("the copy is gone", not copy.exists())
        check("the gateway still runs", gateway.poll() is None)
        check("a turn sends OpenClaw's own key again", *turn(LOOP))
        code, out, err = home.run("clawkeep", "disconnect", "openclaw", "--yes")
        check("disconnect again has nothing to undo", "nothing to undo" in out, out, err)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait(30)
        provider.close()
    print(f"{failed} failed; home {home.path}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    os.umask(0o077)
    main()
