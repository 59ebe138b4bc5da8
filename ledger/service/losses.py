"""What is lost for good when migrations go back, read from their down sections beforehand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ledger.contracts.registry import MigrationRef, Variable
from ledger.domain.variables import samples


async def lost_by_down(
    refs: Sequence[MigrationRef],
    read: Sequence[bytes],
    text_of: Callable[[str], Awaitable[bytes]],
    variables: Sequence[Variable],
) -> dict[str, list[str]]:
    """What the down sections of migrations take away for good, by version, in words.

    Their texts are those that were just `read`, or are stored: `text_of` gets them by hash.
    """
    texts = {hashlib.sha256(text).hexdigest(): text for text in read}
    found = {}
    for ref in refs:
        files = [
            (file.name, texts.get(file.sha256) or await text_of(file.sha256)) for file in ref.files
        ]
        found[ref.version] = await asyncio.to_thread(_lost, ref, files, samples(variables))
    return found


def _lost(
    ref: MigrationRef, files: Sequence[tuple[str, bytes]], values: Mapping[str, str]
) -> list[str]:
    from migrations.errors import LoadError
    from migrations.formats import Reading
    from migrations.formats.bundle import load_files
    from migrations.model.migration import SourceFile
    from migrations.sql.data_loss import lost_by

    reading = Reading(values, programs=True)
    try:
        migration = load_files(
            ref.format,
            [SourceFile(*file) for file in files],
            version=ref.version,
            name=ref.name,
            reading=reading,
        )
    except LoadError:
        return ["its down section cannot be read here"]
    down = migration.down
    if down is None:
        return ["has no down section"]
    if down.program is not None:
        return [f"runs {down.program.language.value}, whose effect is not looked into"]
    return lost_by(statement.text for statement in down.statements)
