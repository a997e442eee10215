import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Upstream:
    """A model server as far as a probe can see: a list of models, and one credential that is right."""

    def __init__(self):
        self.models = ["m", "n", "org/o"]
        self.status = 200
        self.lists_models = True
        self.asked = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.answer(upstream.status if upstream.lists_models else 404)

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.answer(upstream.status)

            def answer(self, status):
                upstream.asked.append((self.command, self.path, dict(self.headers)))
                if self.headers["authorization"].endswith("wrong"):
                    status = 401
                body = json.dumps({"object": "list", "data": [{"id": name} for name in upstream.models]}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("location", "http://169.254.169.254/")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def upstream(app):
    made = Upstream()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    app.extensions["wire"].sweep()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def offer(upstream):
    """What a contributor sends."""
    return {
        "name": "Mine",
        "base_url": upstream.url,
        "api_key": "sk-upstream-0123456789abcdef0123",
        "sharing": "shared",
        "models": ["m"],
    }
