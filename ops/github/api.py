"""What a step of the pipeline says to the service that runs it: a comment, findings.

    python3 api.py comment PAGE      one comment on the pull request, written over in place
    python3 api.py sarif FILE        findings for code scanning
    python3 api.py field NAME FILE   a field of a JSON document, if it is a plain word; for scripts
    python3 api.py title TEXT        its first line as `ledger up --reason` takes it

Nothing but Python itself is needed. Repository, event and address come by the variables that a
runner sets (GITHUB_REPOSITORY, GITHUB_EVENT_PATH, GITHUB_API_URL), the token by GITHUB_TOKEN; it
goes nowhere else, and nothing follows an answer to another address.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

API = "https://api.github.com"
TIMEOUT_S = 30.0
PER_PAGE = 100
PAGES_AT_MOST = 30
"""A pull request with more comments than that gets a new one."""
AUTHOR = "github-actions[bot]"
"""Whose comments are written over; GITHUB_COMMENT_AUTHOR names another. Anybody could begin a
comment as ours begin."""
MARKER = re.compile(r"<!-- migration-ledger plan [A-Za-z0-9._-]* -->")
HIDDEN = ("Cc", "Cf", "Cn", "Cs", "Zl", "Zp")
"""Kinds of characters that steer whatever shows them, or that nobody sees."""
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""Some of other kinds that nobody sees either."""
JOINERS = "\u200c\u200d"
"""What some scripts, and pictures of several people, are written with."""
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_WORD = re.compile(r"[A-Za-z0-9._-]{1,100}")


class NotSaid(Exception):
    """What was to be said could not be; the message says what to do."""


class _NoWayOn(HTTPRedirectHandler):
    """An answer that names another address is an error: the token is for this one."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""


def comment(page: Path) -> str:
    """Write the page on the pull request that the event is about. Raises `NotSaid`."""
    text = page.read_text(encoding="utf-8")
    marker = text.partition("\n")[0]
    if not MARKER.fullmatch(marker):
        raise NotSaid(f"{page.name} is no page of `ledger plan -o markdown`; write one there")
    number = _pull_request()
    if number is None:
        return "the event is about no pull request, so nothing is written on one"
    for one in _comments(number):
        author = (one.get("user") or {}).get("login")
        ours = author == os.environ.get("GITHUB_COMMENT_AUTHOR", AUTHOR)
        if not ours or not str(one.get("body") or "").startswith(marker):
            continue
        if str(one["body"]).replace("\r\n", "\n").rstrip() == text.rstrip():
            return "the comment says so already"
        _ask("PATCH", f"/repos/{_repository()}/issues/comments/{int(one['id'])}", {"body": text})
        return "the comment is written over"
    _ask("POST", f"/repos/{_repository()}/issues/{number}/comments", {"body": text})
    return "a comment is written"


def sarif(file: Path) -> str:
    """Hand findings to code scanning. Raises `NotSaid`."""
    packed = base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()
    said = {"commit_sha": _given("GITHUB_SHA"), "ref": _given("GITHUB_REF"), "sarif": packed}
    _ask("POST", f"/repos/{_repository()}/code-scanning/sarifs", said)
    return "the findings are handed to code scanning"


def field(name: str, file: Path) -> str:
    """The field of a JSON document, where there is one and it is a plain word; else nothing."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _pull_request() -> int | None:
    """The number of the pull request that the event is about."""
    try:
        event = json.loads(Path(_given("GITHUB_EVENT_PATH")).read_text(encoding="utf-8"))
        number = event["pull_request"]["number"]
    except (KeyError, TypeError):
        return None
    except (OSError, ValueError):
        raise NotSaid("the event's file cannot be read; run this as a step of a workflow") from None
    return number if isinstance(number, int) else None


def _comments(number: int) -> Iterator[dict[str, Any]]:
    for page in range(1, PAGES_AT_MOST + 1):
        address = f"/repos/{_repository()}/issues/{number}/comments?per_page={PER_PAGE}&page={page}"
        found = _ask("GET", address)
        if not isinstance(found, list):
            raise NotSaid("the list of comments is none; look whether GITHUB_API_URL is right")
        yield from (one for one in found if isinstance(one, dict))
        if len(found) < PER_PAGE:
            return


def _ask(method: str, path: str, said: dict[str, str] | None = None) -> Any:
    """One call of the service. Raises `NotSaid`."""
    base = os.environ.get("GITHUB_API_URL") or API
    place = urlsplit(base)
    if place.scheme != "https" and place.hostname not in _LOCAL:
        raise NotSaid("GITHUB_API_URL is no https address; the token is sent to no other")
    headers = {
        "Authorization": f"Bearer {_given('GITHUB_TOKEN')}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
        "User-Agent": "migration-ledger",
    }
    body = json.dumps(said).encode() if said is not None else None
    request = Request(base.rstrip("/") + path, body, headers, method=method)  # noqa: S310  looked at
    try:
        with build_opener(_NoWayOn()).open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null")
    except HTTPError as error:
        place_asked = path.partition("?")[0]
        raise NotSaid(f"{method} {place_asked}: {error.code}; {_advice(error.code)}") from None
    except (URLError, OSError, ValueError):
        raise NotSaid(f"{place.hostname} gives no answer that can be read; try again") from None


def _advice(status: int) -> str:
    if status in (401, 403, 404):
        return (
            "give the job `pull-requests: write` (for findings `security-events: write`), and "
            "hand the token on as GITHUB_TOKEN; runs of forks get none that may write"
        )
    return "try again"


def _repository() -> str:
    name = _given("GITHUB_REPOSITORY")
    if not _REPOSITORY.fullmatch(name):
        raise NotSaid("GITHUB_REPOSITORY is no OWNER/NAME; run this as a step of a workflow")
    return name


def _given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise NotSaid(f"{name} is not set; run this as a step of a workflow, or set it")
    return value


def title(text: str) -> str:
    """The first line of a commit's message without what ledger refuses in a reason.

    That is what moves a cursor, turns the direction of a text, or is not seen; whoever merged it
    need not have known, and cannot change it any more.
    """
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    seen = (one for one in first if category(one) not in HIDDEN or one in JOINERS)
    return "".join(one for one in seen if one not in BLANK).strip()


def main(words: list[str]) -> int:
    """Do what the words say; 1 when it could not be said, 2 when they mean nothing."""
    try:
        match words:
            case ["comment", page]:
                print(comment(Path(page)), file=sys.stderr)
            case ["sarif", file]:
                print(sarif(Path(file)), file=sys.stderr)
            case ["field", name, file]:
                print(field(name, Path(file)))
            case ["title", text]:
                sys.stdout.buffer.write(title(text).encode())
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (NotSaid, OSError) as why:
        print(f"{words[0]}: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
