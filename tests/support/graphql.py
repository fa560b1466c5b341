"""A server on this machine that answers the W&B client, and keeps what it was asked."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}


@contextmanager
def graphql():
    """Yields its address and the list of (query, variables) so far."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = json.loads(body) if self.path == "/graphql" else {"query": ""}
            query, variables = request["query"], request.get("variables", {})
            asked.append((query, variables))
            answer = {"viewer": USER}
            if "upsertView" in query:
                view = {"id": "7", "name": variables["name"]}
                answer = {"upsertView": {"view": view, "inserted": True}}
            content = json.dumps({"data": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
