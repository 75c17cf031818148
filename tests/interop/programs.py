"""The two programs and the homes they run in.

Both run with an environment of their own: nothing of the caller's reaches them. The client is also kept off the network:
`offline.cjs` refuses every connection and notes it, and the proxies lead to a port where nobody listens.
"""
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STATE = ".clawdbot"
MAIN = f"{STATE}/agents/main/agent"
STORE = f"{MAIN}/auth-profiles.json"
CLAUDE = ".claude/.credentials.json"
# Longer than either program waits for a lock (20 s here, about 50 s there).
TIMEOUT_S = 120


class Failed(Exception):
    """A check that does not hold; its text says what was seen."""


def expect(holds, *seen):
    if not holds:
        raise Failed(" ".join(str(part) for part in seen))


@dataclasses.dataclass
class Run:
    status: int
    stdout: str
    stderr: str

    def ok(self):
        expect(self.status == 0, f"exit {self.status}:", self.stderr.strip()[-600:])
        return self.stdout

    def json(self, *statuses):
        """The document on stdout."""
        expect(self.status in (statuses or (0,)), f"exit {self.status}:", self.stderr.strip()[-600:])
        try:
            return json.loads(self.stdout)
        except ValueError as error:
            raise Failed(f"no JSON ({error}): {self.stdout[:300]!r}") from error


class Programs:
    def __init__(self, clawkeep, client, keep=False):
        self.clawkeep = str(clawkeep)
        modules = pathlib.Path(client) / "node_modules"
        self.node = next(modules.glob("node-*-*/bin/node"))
        self.dist = modules / "clawdbot" / "dist"
        self.version = json.loads((modules / "clawdbot" / "package.json").read_text())["version"]
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="clawkeep-interop-"))
        self.network_log = self.base / "network.log"
        self.keep = keep

    def close(self):
        if self.keep:
            print(f"kept: {self.base}")
        else:
            shutil.rmtree(self.base, ignore_errors=True)

    def home(self, name):
        return Home(self, self.base / name)

    def network_attempts(self):
        return self.network_log.read_text().splitlines() if self.network_log.exists() else []


class Home:
    """A home directory in which both programs can be run."""

    def __init__(self, programs, path):
        self.programs, self.path = programs, path
        self.env = {}
        path.mkdir(mode=0o700)

    def copy(self, name):
        twin = self.programs.home(name)
        shutil.copytree(self.path, twin.path, dirs_exist_ok=True, symlinks=True)
        twin.env = dict(self.env)
        return twin

    def at(self, rel):
        return self.path / rel

    def write(self, rel, content):
        path = self.at(rel)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2) + "\n", encoding="utf-8")
        path.chmod(0o600)

    def read(self, rel=STORE):
        return self.at(rel).read_text(encoding="utf-8")

    def json(self, rel=STORE):
        return json.loads(self.read(rel))

    def environment(self):
        return {"HOME": str(self.path), "PATH": "/usr/bin:/bin", "USER": "tester", "NO_COLOR": "1", **self.env}

    def client_environment(self):
        dead = "http://127.0.0.1:9"
        proxies = {name: dead for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")}
        return {
            **self.environment(),
            **proxies,
            "NODE_USE_ENV_PROXY": "1",
            "CLAWDBOT_NO_RESPAWN": "1",
            "INTEROP_NETWORK_LOG": str(self.programs.network_log),
        }

    def ours_command(self, *argv):
        return [self.programs.clawkeep, *argv]

    def theirs_command(self, *argv):
        node, dist = str(self.programs.node), self.programs.dist
        return [node, "--disable-warning=ExperimentalWarning", "--require", str(HERE / "offline.cjs"), str(dist / "entry.js"), *argv]

    def client_command(self, task, *args, agent_dir=None):
        node, dist = str(self.programs.node), str(self.programs.dist)
        script = [node, "--require", str(HERE / "offline.cjs"), str(HERE / "client.mjs")]
        return [*script, dist, task, str(agent_dir or self.at(MAIN)), *map(str, args)]

    def ours(self, *argv):
        """Runs clawkeep."""
        return self._run(self.ours_command(*argv), self.environment())

    def theirs(self, *argv):
        """Runs the client's command line. Notes that it prints before a document (what it synced, advice) are left out."""
        run = self._run(self.theirs_command(*argv), self.client_environment())
        notes, brace, document = run.stdout.partition("{\n")
        if "--json" in argv and (notes == "" or notes.endswith("\n")):
            run.stdout = brace + document
        return run

    def client(self, task, *args, **where):
        """Runs a task of client.mjs."""
        return self._run(self.client_command(task, *args, **where), self.client_environment())

    def start(self, command, environment):
        return subprocess.Popen(command, env=environment, cwd=self.path, text=True, bufsize=1, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _run(self, command, environment):
        try:
            done = subprocess.run(command, env=environment, cwd=self.path, text=True, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"no end after {TIMEOUT_S} s: {' '.join(command[-4:])}") from error
        return Run(done.returncode, done.stdout, done.stderr)

    def plain_files(self):
        """Every file of the state directory with its bytes, the store and its lock aside."""
        skipped = {"auth-profiles.json"}
        files = (path for path in self.at(STATE).rglob("*") if path.is_file() and path.name not in skipped)
        return {path: path.read_bytes() for path in files}
