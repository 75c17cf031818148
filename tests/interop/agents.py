"""Claude Code and Codex CLI get a secret from the vault, each in every way that the guide shows.

    agents.py CLAWKEEP PROGRAMS     PROGRAMS is the directory that npm installed both into
"""
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

API_KEY = "sk-ant-api03-made-up-0123456789"
TOKEN = "sk-ant-oat01-made-up-0123456789"
OPENAI_KEY = "sk-proj-made-up-0123456789"
# Longer than either program tries again for.
TIMEOUT_S = 180


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers every request with an error that no program repeats, and keeps its headers."""
    seen = []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"error": {"type": "invalid_request_error", "message": "refused by the test"}}')

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Home:
    def __init__(self, clawkeep, origin):
        self.dir = tempfile.TemporaryDirectory(prefix="clawkeep-agents-")
        self.path = pathlib.Path(self.dir.name)
        (self.path / "bin").mkdir()
        (self.path / "bin/clawkeep").symlink_to(clawkeep)
        self.env = {"HOME": self.dir.name, "PATH": f"{self.path}/bin:/usr/bin:/bin", "ANTHROPIC_BASE_URL": origin,
                    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def clawkeep(self, *args, text=""):
        done = subprocess.run(["clawkeep", "-q", *args], env=self.env, cwd=self.path, input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"clawkeep {args}: {done.stderr}"
        return done.stdout

    def run(self, *command):
        """The requests that a program sends, and the events of the record."""
        Provider.seen.clear()
        before = len(self.uses())
        subprocess.run(command, env=self.env, cwd=self.path, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
        return list(Provider.seen), self.uses()[:-before or None]

    def uses(self):
        return json.loads(self.clawkeep("history", "--kind", "credential.used", "--limit", "0", "--json"))["events"]


def sends(requests, header, value):
    """At least one request, and each with that header."""
    return bool(requests) and all(request.get(header) == value for request in requests)


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
    home.clawkeep("models", "auth", "paste-token", "--provider", "anthropic", "--profile-id", "anthropic:subscription",
                  "--expires-in", "300d", text=TOKEN)
    home.clawkeep("models", "auth", "paste-api-key", "--provider", "openai", text=OPENAI_KEY)
    failed = 0

    def check(name, holds, *seen):
        nonlocal failed
        failed += not holds
        print(f"{'PASS' if holds else 'FAIL'}  {name}", *(() if holds else seen), flush=True)

    ask = [claude, "-p", "hello"]
    home.write(".claude/settings.json", json.dumps({"apiKeyHelper": "clawkeep token --profile anthropic:manual --strict -q"}))
    requests, uses = home.run(*ask)
    check("claude: apiKeyHelper sends the key", sends(requests, "x-api-key", API_KEY), requests)
    check("claude: the record names it", uses and uses[0]["actor"]["parent"] == "claude", uses)
    (home.path / ".claude/settings.json").unlink()
    requests, uses = home.run("clawkeep", "exec", "--profile", "anthropic:subscription", "--", *ask)
    check("claude: exec sends the token as a login", sends(requests, "authorization", f"Bearer {TOKEN}")
          and all("oauth-2025-04-20" in request["anthropic-beta"] for request in requests), requests)
    check("claude: one use is recorded", len(uses) == 1, uses)
    requests, uses = home.run("clawkeep", "exec", "--profile", "anthropic:manual", "--", *ask)
    check("claude: exec sends the key", sends(requests, "x-api-key", API_KEY), requests)

    ask = [codex, "exec", "--skip-git-repo-check", "-c", f'openai_base_url="{origin}/v1"', "hello"]
    requests, uses = home.run("clawkeep", "exec", "--provider", "openai", "--", *ask)
    check("codex: exec sends the key", sends(requests, "authorization", f"Bearer {OPENAI_KEY}"), requests)
    home.write(".codex/config.toml", f"""
model_provider = "vault"
[model_providers.vault]
name = "OpenAI"
base_url = "{origin}/v1"
wire_api = "responses"
[model_providers.vault.auth]
command = "clawkeep"
args = ["token", "-q", "--provider", "openai"]
""")
    requests, uses = home.run(codex, "exec", "--skip-git-repo-check", "hello")
    check("codex: auth.command sends the key", sends(requests, "authorization", f"Bearer {OPENAI_KEY}"), requests)
    check("codex: the record names it", uses and uses[0]["actor"]["parent"] == "codex", uses)
    verified = home.clawkeep("audit", "verify")
    check("the record holds", "The record holds" in verified, verified)
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    os.umask(0o077)
    main()
