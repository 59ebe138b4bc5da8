"""A service that keeps comments and findings, as far as a step of a pipeline talks to one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

TOKEN = "a-token-that-nobody-prints"
REPOSITORY = "/repos/acme/shop"
NOTES = "/projects/9/merge_requests/17/notes"
OURSELVES = {"id": 7}
"""Whose token it is, where notes are kept and not comments."""


@dataclass
class Receiver:
    """Where it is, what it holds, and what was asked of it: method and path of each."""

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    answers_with: int = 0
    """Refuse everything with this status, if it is not 0."""
    leads_to: str = ""
    """Send everybody on to this address."""

    def writes(self) -> list[str]:
        """The methods of what was to be changed, in order."""
        return [method for method, _ in self.asked if method != "GET"]

    def comment(self, author: str, body: str) -> None:
        """Somebody writes a comment."""
        self.comments.append(
            {"id": len(self.comments) + 1, "user": {"login": author}, "body": body}
        )

    def note(self, author: int, body: str) -> None:
        """Somebody writes a note."""
        self.notes.insert(0, {"id": len(self.notes) + 1, "author": {"id": author}, "body": body})

    def answer(self, method: str, path: str, said: Any) -> tuple[int, Any]:
        """What the service says."""
        place, _, query = path.partition("?")
        if self.answers_with:
            return self.answers_with, {"message": "no"}
        if method == "GET" and place == f"{REPOSITORY}/issues/17/comments":
            page = int(query.rpartition("page=")[2])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        if method == "POST" and place == f"{REPOSITORY}/issues/17/comments":
            self.comment("github-actions[bot]", said["body"])
            return 201, self.comments[-1]
        if method == "PATCH" and place.startswith(f"{REPOSITORY}/issues/comments/"):
            self.comments[int(place.rpartition("/")[2]) - 1]["body"] = said["body"]
            return 200, {}
        if method == "POST" and place == f"{REPOSITORY}/code-scanning/sarifs":
            self.findings.append(said)
            return 202, {}
        return self._noted(method, place, said)

    def _noted(self, method: str, place: str, said: Any) -> tuple[int, Any]:
        """The same of notes on a merge request, the latest first."""
        if (method, place) == ("GET", "/user"):
            return 200, OURSELVES
        if (method, place) == ("GET", NOTES):
            return 200, self.notes
        if (method, place) == ("POST", NOTES):
            self.note(OURSELVES["id"], said["body"])
            return 201, {}
        for one in self.notes:
            if (method, place) == ("PUT", f"{NOTES}/{one['id']}"):
                one["body"] = said["body"]
                return 200, {}
        return 404, {}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """The service on loopback, until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            said = self._said(self.rfile.read(size).decode()) if size else None
            receiver.asked.append((self.command, self.path))
            if receiver.leads_to:
                self.send_response(307)
                self.send_header("Location", receiver.leads_to)
                self.end_headers()
                return
            tokens = (self.headers.get("Authorization"), self.headers.get("PRIVATE-TOKEN"))
            known = tokens in ((f"Bearer {TOKEN}", None), (None, TOKEN))
            status, body = receiver.answer(self.command, self.path, said) if known else (401, {})
            written = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def _said(self, body: str) -> Any:
            if self.headers.get("Content-Type") == "application/x-www-form-urlencoded":
                return dict(parse_qsl(body))
            return json.loads(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    for method in ("GET", "POST", "PATCH", "PUT"):
        setattr(Handler, f"do_{method}", Handler._any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
