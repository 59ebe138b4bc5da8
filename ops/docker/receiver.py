"""The receiver of docker-compose.yml: prints each notification that the notifier beside it signed.

What a receiver elsewhere looks at besides, moment and key, stands in `ledger/notifier/webhook.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 1 << 20


class Receiver(BaseHTTPRequestHandler):
    """Takes what was signed with the key that both have, and nothing else."""

    timeout = 10

    def do_POST(self) -> None:
        """Print a notification, in one line."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        signed = self.headers.get("Ledger-Timestamp", "").encode() + b"." + body
        expected = hmac.new(os.environ["HOOK_KEY"].encode(), signed, hashlib.sha256).hexdigest()
        given = self.headers.get("Ledger-Signature", "")
        if not hmac.compare_digest(given.encode(), f"v1={expected}".encode()):
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return
        print(body.decode(), flush=True)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8080), Receiver).serve_forever()
