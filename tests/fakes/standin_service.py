"""Stands in for any of our services: answers the health endpoints, tells its environment, stops on SIGTERM.

Only the standard library, so that a dozen of them start in no time.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ill = self.path == "/healthz" and Path(os.environ.get("STANDIN_ILL", "/nonexistent")).exists()
        body = json.dumps(dict(os.environ)).encode() if self.path == "/environment" else b"ok"
        self.send_response(500 if ill else 200)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    HTTPServer((os.environ["HTTP_HOST"], int(os.environ["HTTP_PORT"])), Handler).serve_forever()
