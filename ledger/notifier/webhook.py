"""Our webhook: a POST of JSON that whoever knows the key can tell from a forged or a repeated one.

```
POST …                                       Content-Type: application/json
Idempotency-Key:  <key of the message>       the same however often it is sent
Ledger-Timestamp: <seconds since 1970>       of this sending
Ledger-Signature: v1=<hex>                   HMAC-SHA256(key, timestamp + "." + body)
```

The receiver computes the same over the bytes as they came, compares in constant time, refuses a
timestamp that is minutes away, and remembers keys for a while. Redirects are not followed: they
would carry a signed message to where nobody sent it.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message as Headers
from importlib import metadata
from typing import IO
from urllib.parse import urlsplit

from ledger.domain.messages import Notification
from ledger.notifier.references import SecretMissing, read
from ledger.settings.notify import check_webhook
from migrations.clock import Clock

TIMEOUT_S = 10.0
"""Of each wait for the network; a receiver that takes a message answers in a second."""
SIGNATURE_VERSION = "v1"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage | Headers,
        newurl: str,
    ) -> urllib.request.Request | None:
        return None


class Webhook:
    """Sends to one address; both it and the key may be references."""

    def __init__(self, address: str, key: str, clock: Clock) -> None:
        self._address = address
        self._key = key
        self._clock = clock

    def send(self, message: Notification) -> str:
        """Send a message: empty when it was taken, else why not, without any secret. Blocks."""
        try:
            address = self._read_address()
            key = read(self._key)
        except SecretMissing as missing:
            return str(missing)
        except ValueError as wrong:
            return str(wrong)
        body = json.dumps(message.document, separators=(",", ":")).encode()
        timestamp = str(int(self._clock.now().timestamp()))
        request = urllib.request.Request(  # noqa: S310  # http or https: `check_webhook`.
            address,
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"migration-ledger/{metadata.version('migration-ledger')}",
                "Idempotency-Key": message.key,
                "Ledger-Timestamp": timestamp,
                "Ledger-Signature": f"{SIGNATURE_VERSION}={signature(key, timestamp, body)}",
            },
        )
        return _answered(lambda: _open(request))

    def _read_address(self) -> str:
        if not self._address.startswith(("env:", "file:")):
            return self._address
        address = read(self._address)
        parts = urlsplit(address)
        # A referenced address may hold secrets; everything else holds for it, too.
        check_webhook(parts._replace(query="", fragment="").geturl())
        return address


def signature(key: str, timestamp: str, body: bytes) -> str:
    """What a receiver has to come to, in hexadecimal."""
    return hmac.new(key.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _open(request: urllib.request.Request) -> int:
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        return int(answer.status)


def _answered(send: Callable[[], int]) -> str:
    """Why what was sent was not taken, in words of ours alone."""
    try:
        send()
    except urllib.error.HTTPError as refused:
        refused.close()
        return f"it answered HTTP {refused.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _unsent(error)
    return ""


def _unsent(error: BaseException) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        return "it does not prove who it is by TLS"
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(reason, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(reason, OSError):
        return "it cannot be reached"
    return "it answered nothing that is HTTP"
