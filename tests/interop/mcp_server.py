"""A server of the Model Context Protocol on loopback that gives every client a login.

    mcp_server.py PORT
"""
import http.server
import json
import sys
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document=None, **headers):
        raw = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        base = f"http://127.0.0.1:{self.server.server_port}"
        url = urllib.parse.urlparse(self.path)
        if url.path.startswith("/.well-known/oauth-authorization-server"):
            self.answer(200, {"issuer": base, "authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token",
                              "registration_endpoint": f"{base}/register", "response_types_supported": ["code"],
                              "grant_types_supported": ["authorization_code", "refresh_token"],
                              "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"]})
        elif url.path.startswith("/.well-known/oauth-protected-resource"):
            self.answer(200, {"resource": f"{base}/mcp", "authorization_servers": [base]})
        elif url.path == "/authorize":
            query = urllib.parse.parse_qs(url.query)
            back = urllib.parse.urlencode({"code": "code", "state": query.get("state", [""])[0]})
            self.answer(302, None, location=f"{query['redirect_uri'][0]}?{back}")
        elif self.headers.get("authorization"):
            self.answer(405)
        else:
            self.answer(401, {"error": "unauthorized"},
                        www_authenticate=f'Bearer resource_metadata="{base}/.well-known/oauth-protected-resource"')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/register":
            self.answer(201, {**json.loads(body), "client_id": "client"})
        elif self.path == "/token":
            self.answer(200, {"access_token": "at-mcp-SECRET0123456789", "token_type": "Bearer", "expires_in": 3600,
                              "refresh_token": "rt-mcp-SECRET0123456789"})
        elif self.headers.get("authorization"):
            request = json.loads(body)
            if "id" not in request:
                self.answer(202)
                return
            self.answer(200, {"jsonrpc": "2.0", "id": request["id"], "result": {
                "protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "test", "version": "1"}}})
        else:
            self.do_GET()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
