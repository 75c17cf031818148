"""Claude Code, Codex CLI and pi get a key after `clawkeep connect`, and their settings back after `disconnect`.

    connect.py CLAWKEEP PROGRAMS     PROGRAMS is the directory that npm installed both into
"""
import http.server
import os
import pathlib
import sys
import threading

from agents import API_KEY, OPENAI_KEY, Home, Provider, sends


def main():
    clawkeep, programs = sys.argv[1], pathlib.Path(sys.argv[2])
    claude = next(programs.glob("node_modules/@anthropic-ai/claude-code-*/claude"))
    codex = next(programs.glob("node_modules/@openai/codex-*/vendor/*/bin/codex"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_port}"
    home = Home(clawkeep, origin)
    home.clawkeep("init", "--key", "keyfile")
    home.clawkeep("models", "auth", "paste-api-key", "--provider", "anthropic", text=API_KEY)
    home.clawkeep("models", "auth", "paste-api-key", "--provider", "openai", text=OPENAI_KEY)
    failed = 0

    def check(name, holds, *seen):
        nonlocal failed
        failed += not holds
        print(f"{'PASS' if holds else 'FAIL'}  {name}", *(() if holds else seen), flush=True)

    pi = pathlib.Path(os.environ["CLAWKEEP_INTEROP_PI"]) / "node_modules/@mariozechner/pi-coding-agent/dist/cli.js"
    node = os.environ.get("CLAWKEEP_INTEROP_NODE", "node")
    home.write(".pi/agent/models.json", '{"providers": {"openai": {"baseUrl": "%s/v1"}}}' % origin)
    for name, file, text, header, value, ask, more in [
        ("codex", ".codex/config.toml", f'# mine\nopenai_base_url = "{origin}/v1"  # loopback\n\n[tui]\nnotifications = false\n',
         "authorization", f"Bearer {OPENAI_KEY}", [codex, "exec", "--skip-git-repo-check", "hello"], []),
        ("claude", ".claude/settings.json", '{\n    "includeCoAuthoredBy": false\n}\n',
         "x-api-key", API_KEY, [claude, "-p", "hello"], []),
        ("pi", ".pi/agent/auth.json", '{\n  "anthropic": {"type": "api_key", "key": "sk-ant-other"}\n}\n',
         "authorization", f"Bearer {OPENAI_KEY}", [node, pi, "-p", "hello", "--provider", "openai", "--model", "gpt-4o"], ["--id", "openai:manual"]),
    ]:
        # The program changes its settings itself at its first start; what it leaves is what is to come back.
        home.write(file, text)
        requests, uses = home.run(*ask)
        check(f"{name}: no key before", not sends(requests, header, value) and not uses, requests, uses)
        before = (home.path / file).read_bytes()
        home.clawkeep("connect", name, "--yes", *more)
        requests, uses = home.run(*ask)
        check(f"{name}: sends the key of the vault", sends(requests, header, value), requests)
        check(f"{name}: the record names it", uses and uses[0]["actor"]["parent"] == name, uses)
        home.clawkeep("disconnect", name, "--yes")
        after = (home.path / file).read_bytes()
        check(f"{name}: its settings are what they were", before == after, before, after)
    verified = home.clawkeep("audit", "verify")
    check("the record holds", "The record holds" in verified, verified)
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    os.umask(0o077)
    main()
