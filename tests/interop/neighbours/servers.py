"""Servers on loopback: a model provider for OpenClaw, and the login server that Claude Code talks to.

Each runs in threads of this process and ends with it. All tokens are made up.
"""
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time


# Longer than the real one: a token of 8 h counts as expiring from the start.
LOGIN_H = 48


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0)).decode(errors="replace")

    def reply(self, text, kind="application/json", status=200):
        raw = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()


class _Server:
    def __init__(self, handler):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.owner = self
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Provider(_Server):
    """Answers chat completions, and keeps the `Authorization` header of each request."""

    ANSWER = "the loopback provider answers"

    def __init__(self):
        self.authorizations = []
        super().__init__(_ProviderHandler)


class _ProviderHandler(_Handler):
    def do_GET(self):
        self.reply(json.dumps({"object": "list", "data": [{"id": "m1", "object": "model"}]}))

    def do_POST(self):
        request = json.loads(self.body())
        self.server.owner.authorizations.append(self.headers.get("authorization"))
        head = {"id": "c1", "created": int(time.time()), "model": "m1"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not request.get("stream"):
            message = {"role": "assistant", "content": Provider.ANSWER}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply(json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}))
            return
        deltas = [({"role": "assistant", "content": Provider.ANSWER}, None), ({}, "stop")]
        parts = [{**head, "object": "chat.completion.chunk", "usage": usage,
                  "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
        events = [*map(json.dumps, parts), "[DONE]"]
        self.reply("".join(f"data: {event}\n\n" for event in events), "text/event-stream")


class LoginServer(_Server):
    """An HTTPS proxy that answers for every host itself, with certificates of its own authority.

    It plays the OAuth endpoints of Claude Code's provider: each login gets new tokens for `account`.
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.authority = self.directory / "ca.pem"
        self.account = "account-one"
        self.tokens = []
        self.requests = []
        self._contexts, self._lock = {}, threading.Lock()
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", self.authority, "-days", "2", "-subj", "/CN=interop")
        super().__init__(_LoginHandler)

    def _new_key(self, name):
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*kind, "-keyout", self.directory / f"{name}.key")

    def _openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def context(self, host):
        with self._lock:
            if host not in self._contexts:
                request, certificate, names = (self.directory / f"{host}.{end}" for end in ("csr", "pem", "ext"))
                self._openssl("req", *self._new_key(host), "-out", request, "-subj", f"/CN={host}")
                names.write_text(f"subjectAltName=DNS:{host}\n")
                self._openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", self.directory / "ca.key",
                              "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", names)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate, self.directory / f"{host}.key")
                self._contexts[host] = context
            return self._contexts[host]

    def answer(self, path):
        if path.startswith("/v1/oauth/token/revoke"):
            return {}
        if path.startswith("/v1/oauth/token"):
            mark = f"{self.account}-{len(self.tokens)}-{time.time_ns()}"
            self.tokens.append(f"sk-ant-oat01-{mark}")
            return {"token_type": "Bearer", "access_token": self.tokens[-1], "refresh_token": f"sk-ant-ort01-{mark}",
                    "expires_in": LOGIN_H * 3600, "refresh_token_expires_in": 30 * 86400, "scope": "user:inference user:profile",
                    "account": {"uuid": self.account, "email_address": f"{self.account}@example.org"},
                    "organization": {"uuid": f"{self.account}-org", "name": "Org"}}
        if "profile" in path:
            return {"account": {"uuid": self.account, "email": f"{self.account}@example.org", "display_name": "Tester"},
                    "organization": {"uuid": f"{self.account}-org", "organization_type": "claude_max",
                                     "rate_limit_tier": "default_claude_max_5x", "has_extra_usage_enabled": False}}
        if "roles" in path:
            return {"organization_role": "admin", "workspace_role": None, "organization_name": "Org"}
        return {}


class _LoginHandler(_Handler):
    def do_CONNECT(self):
        self.send_response_only(200)
        self.end_headers()
        self.wfile.flush()
        try:
            secure = self.server.owner.context(self.path.split(":")[0]).wrap_socket(self.connection, server_side=True)
        except OSError:
            self.close_connection = True
            return
        self.connection, self.rfile, self.wfile = secure, secure.makefile("rb"), secure.makefile("wb")
        self.close_connection = False

    def _answer(self):
        self.body()
        self.server.owner.requests.append(self.path)
        self.reply(json.dumps(self.server.owner.answer(self.path)))

    do_GET = do_POST = _answer
