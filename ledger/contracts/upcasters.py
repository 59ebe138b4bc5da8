"""How bodies of older versions are read: each is brought to the next version, step by step. Pure.

The log keeps the bytes that were hashed, for ever, so a changed event gets a new version and, here,
a function that makes a body of the old form one of the new. It knows nothing but that body: what it
has to add must have one sense for all that was recorded before.

```
body of v1 ──UPCASTERS[type, 1]──▶ body of v2 ──UPCASTERS[type, 2]──▶ body of v3 ─▶ the class
```

`tests/golden/` holds a recorded example of every version; none is ever changed or removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

JsonBody = dict[str, Any]
"""A body as JSON has it."""
Upcaster = Callable[[JsonBody], JsonBody]
Upcasters = Mapping[tuple[str, int], Upcaster]

UPCASTERS: Upcasters = {}
"""By type and version: what makes such a body one of the next version. No event has changed yet."""


def upcast(type_: str, version: int, newest: int, body: JsonBody, upcasters: Upcasters) -> JsonBody:
    """The body as the newest version has it. Raises KeyError where a step is missing."""
    for step in range(version, newest):
        body = upcasters[type_, step](body)
    return body
