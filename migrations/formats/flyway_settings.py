"""The settings that Flyway reads for one script, from the `.conf` file beside it."""

from __future__ import annotations

from migrations.errors import MarkerError
from migrations.formats.encoding import text_of
from migrations.model.migration import SourceFile


def settings_of(file: SourceFile) -> dict[str, bool]:
    """The keys of a script's `.conf` file, lower case. Raises MarkerError."""
    said: dict[str, bool] = {}
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        written = line.strip()
        if not written or written.startswith(("#", "!")):
            continue
        key, _, value = (part.strip() for part in written.partition("="))
        lowered = key.lower().removeprefix("flyway.")
        if lowered == "encoding" and value.lower().replace("-", "") == "utf8":
            continue
        if lowered not in ("executeintransaction", "placeholderreplacement"):
            raise MarkerError(
                file.name,
                number,
                f"setting {key} is not known for a single script",
                "Known are executeInTransaction and placeholderReplacement",
            )
        if value.lower() not in ("true", "false"):
            raise MarkerError(
                file.name, number, f"setting {key} has no usable value", "Write true or false"
            )
        said[lowered] = value.lower() == "true"
    return said
