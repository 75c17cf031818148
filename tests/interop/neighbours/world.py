"""The programs, and the throw-away homes in which they run side by side.

Nothing of the caller's environment reaches them. OpenClaw may connect to this machine only (`loopback.cjs`); Claude Code
reaches nobody but the login server of `servers.py`.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from programs import Failed, Run, expect  # noqa: E402

# A gateway's first start takes 20 s on an idle machine, and minutes on a busy one.
READY_S = 300
COMMAND_S = 300
# How long `clawkeep watch` may take to follow a change of another program's login.
FOLLOWED_S = 2
STORE = "auth-profiles.json"
CLAUDE = ".claude/.credentials.json"
TOKEN = "gateway-token-0123456789abcdef"


class World:
    """The programs under test and one directory for all homes."""

    def __init__(self, options):
        self.clawkeep = options.clawkeep
        self.openclaw = {"latest": Client(options.latest), "before": Client(options.before), "json": Client(options.json_era)}
        installed = {"latest": options.claude_code, "before": options.claude_code_before}
        self.claude_code = {which: next(pathlib.Path(directory).glob("node_modules/@anthropic-ai/claude-code-*/claude"))
                            for which, directory in installed.items()}
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="clawkeep-neighbours-"))
        self.network_log = self.base / "network.log"
        self.keep = options.keep

    def home(self, name):
        return Home(self, self.base / name)

    def close(self):
        if self.keep:
            print(f"kept: {self.base}")
        else:
            shutil.rmtree(self.base, ignore_errors=True)


class Client:
    """An installed OpenClaw with its Node.js."""

    def __init__(self, directory):
        modules = pathlib.Path(directory) / "node_modules"
        self.node = next(modules.glob("node-*-*/bin/node"))
        self.package = modules / "openclaw"
        self.version = json.loads((self.package / "package.json").read_text())["version"]


class Home:
    def __init__(self, world, path):
        self.world, self.path = world, path
        self.env = {}
        self.claude_code = world.claude_code["latest"]
        (path / "tmp").mkdir(mode=0o700, parents=True)

    def at(self, rel):
        return self.path / rel

    def write(self, rel, content):
        path = self.at(rel)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")
        path.chmod(0o600)

    def json(self, rel):
        return json.loads(self.at(rel).read_text())

    def environment(self):
        return {"HOME": str(self.path), "PATH": "/usr/bin:/bin", "USER": "tester", "NO_COLOR": "1",
                "TMPDIR": str(self.path / "tmp"), **self.env}

    # clawkeep

    def ours(self, *argv, stdin=""):
        return self._run([self.world.clawkeep, *argv], self.environment(), stdin)

    def kept(self):
        """The profiles in the vault, in the clear."""
        return json.loads(self.ours("--no-sync", "export", "--to", "-", "--reveal").ok())["profiles"]

    def paste(self, provider, key, profile=None):
        chosen = ["--profile-id", profile] if profile else []
        return self.ours("models", "auth", "paste-api-key", "--provider", provider, *chosen, stdin=key + "\n")

    @contextlib.contextmanager
    def watch(self):
        """`clawkeep watch`, running. Its output is in `watch.log`."""
        with open(self.at("watch.log"), "w") as log:
            process = subprocess.Popen([self.world.clawkeep, "watch"], env=self.environment(), cwd=self.path, stdout=log,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            until(lambda: "watching" in self.at("watch.log").read_text(), 30, "clawkeep watch did not start")
            yield process
        finally:
            end(process)

    def watch_log(self):
        return self.at("watch.log").read_text()

    # OpenClaw

    def openclaw_environment(self):
        dead = "http://127.0.0.1:9"
        return {
            **self.environment(),
            **{name: dead for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")},
            "NO_PROXY": "127.0.0.1,localhost",
            "NODE_USE_ENV_PROXY": "1",
            "NODE_OPTIONS": f"--require {HERE / 'loopback.cjs'}",
            "OPENCLAW_NO_RESPAWN": "1",
            "INTEROP_NETWORK_LOG": str(self.world.network_log),
        }

    def openclaw_command(self, which, *argv):
        client = self.world.openclaw[which]
        return [str(client.node), str(client.package / "openclaw.mjs"), *argv]

    def openclaw(self, which, *argv, stdin=""):
        return self._run(self.openclaw_command(which, *argv), self.openclaw_environment(), stdin)

    def node(self, which, *argv):
        """A process of OpenClaw's Node.js, with pipes."""
        command = [str(self.world.openclaw[which].node), *map(str, argv)]
        return subprocess.Popen(command, env=self.openclaw_environment(), cwd=self.path, text=True, bufsize=1,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    @contextlib.contextmanager
    def gateway(self, which):
        """The gateway, running: yields its process once it reports that it is ready. Fails where it does not."""
        log = self.at(f"gateway-{time.time_ns()}.log")
        with open(log, "w") as out:
            process = subprocess.Popen(self.openclaw_command(which, "gateway", "run"), env=self.openclaw_environment(),
                                       cwd=self.path, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            until(lambda: "[gateway] ready" in log.read_text() or process.poll() is not None, READY_S,
                  "the gateway neither got ready nor ended")
            text = log.read_text()
            expect("[gateway] ready" in text, f"the gateway is not ready, exit {process.poll()}: {gist(text)}")
            # Some versions go on "with degraded state" where the next one refuses.
            expect("remains pending" not in text, f"the gateway is ready, but: {gist(text)}")
            yield process
        finally:
            end(process)

    # Claude Code

    def claude(self, server, *argv, config_dir=None, login=False):
        """The real Claude Code. A login uses the refresh token that the environment names, at the login server."""
        proxy = f"http://127.0.0.1:{server.port}"
        env = {**self.environment(), "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NODE_EXTRA_CA_CERTS": str(server.authority),
               "TERM": "dumb", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        if config_dir:
            env["CLAUDE_CONFIG_DIR"] = str(config_dir)
        if login:
            env["CLAUDE_CODE_OAUTH_REFRESH_TOKEN"] = "sk-ant-ort01-from-the-environment"
            env["CLAUDE_CODE_OAUTH_SCOPES"] = "user:inference user:profile"
        return self._run([str(self.claude_code), *argv], env, "")

    def _run(self, command, environment, stdin):
        try:
            done = subprocess.run(command, env=environment, cwd=self.path, text=True, input=stdin, capture_output=True,
                                  timeout=COMMAND_S)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"no end after {COMMAND_S} s: {' '.join(command[-4:])}") from error
        return Run(done.returncode, done.stdout, done.stderr)


def end(process):
    """Ends a process that was started here."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(holds, seconds, otherwise):
    """Waits until something holds, and returns how long that took."""
    began = time.monotonic()
    while not holds():
        expect(time.monotonic() - began < seconds, f"{otherwise} (waited {seconds} s)")
        time.sleep(0.05)
    return time.monotonic() - began


def gist(text):
    """The lines of a log that say what is wrong: those of a refusal if there are any."""
    for words in (("remains pending", "failed to start", "Gateway failed"), ("failed", "refus", "rror")):
        lines = [line.strip()[-300:] for line in text.splitlines() if any(word in line for word in words)]
        if lines:
            return " | ".join(lines[:3])
    return " | ".join(text.splitlines()[-3:])


def step(what, action):
    """One result: what was checked and None, or what is wrong. The steps after it go on."""
    try:
        action()
    except Failed as error:
        return what, str(error)
    except Exception as error:  # a step that cannot go on is no reason to leave the others out
        return what, f"{type(error).__name__}: {error}"
    return what, None


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def configuration(provider, home):
    """A configuration for OpenClaw with one model provider, on loopback."""
    models = [{"id": "m1", "name": "m1", "contextWindow": 32000, "maxTokens": 1024}]
    loop = {"baseUrl": f"http://127.0.0.1:{provider.port}/v1", "api": "openai-completions", "models": models}
    return {
        "gateway": {"mode": "local", "port": free_port(), "bind": "loopback", "auth": {"mode": "token", "token": TOKEN}},
        "models": {"mode": "merge", "providers": {"loop": loop}},
        "agents": {"defaults": {"model": {"primary": "loop/m1"}, "workspace": str(home.at("workspace"))}},
        "discovery": {"mdns": {"mode": "off"}},
        "logging": {"file": str(home.at("openclaw.log"))},
    }


def files_of_ours(directory):
    """What clawkeep makes, and no other program, below a directory; links to directories are not followed."""
    found = []
    for where, _, names in os.walk(directory):
        found += [os.path.join(where, name) for name in names
                  if name.startswith("vault.db") or name in ("clawkeep.toml", STORE) or name.startswith(f"{STORE}.lock")]
        if os.path.basename(where) == "vault.db.lease":
            found.append(where)
    return sorted(found)


def vaults(home):
    return sorted(str(path.relative_to(home.path)) for path in home.path.rglob("vault.db") if not path.is_symlink())
