"""SQL files whose statements have names: each begins with a line `-- name: …`, as aiosql has it."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z_]+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def named_statements(package: str, file: str, *, commented: bool = False) -> dict[str, str]:
    """The statements of a `.sql` file of `package`, by their names.

    `commented` ones keep their comments: whoever looks at the server sees what they are. Raises
    ValueError where two have one name.
    """
    _, *parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    names, bodies = parts[0::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{file} has two statements of one name; give each its own")
    texts = bodies if commented else (_COMMENT.sub("", body) for body in bodies)
    return dict(zip(names, (text.strip() for text in texts), strict=True))
