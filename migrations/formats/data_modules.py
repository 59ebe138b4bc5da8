"""Python modules that move data in batches: a transformation in the place of `up`.

    # +migrate Data table=users key=id columns=settings batch=1000 [the options of a Data section]
    async def transform(rows, conn): ...

    VALIDATE = "SELECT …"              must return no row after the last batch
    GATE = "SELECT …"                  a batch starts only while it answers true
    async def down(conn): ...          or, with backup=…, nothing: the backup is restored
    # +migrate Down restore            restores as well, and then calls, if it is there,
    async def restored(rows, conn): …

`transform` gets the rows of one batch, locked, as records of the key and the declared columns, and
never more than a batch. It returns what is to be written: a mapping per row with the key and the
columns to set, or nothing. With `conn` it can read and write other tables. `restored` gets the rows
of the backup. What is not declared as `backup` cannot be set when there is one.
"""

from __future__ import annotations

import ast

from migrations.errors import LoadError, ModuleError
from migrations.formats.checksum import module_checksum
from migrations.formats.data import Declared, automatic_down, declared, note_of, with_checks
from migrations.formats.modules import Module, takes
from migrations.formats.sections import Body
from migrations.formats.way_back import way_back
from migrations.model.migration import Language, Migration, Options, Program, Section, SourceFile

TRANSFORM = "transform"
RESTORED = "restored"


def is_data_module(module: Module) -> bool:
    """Whether the module declares that it goes through a table."""
    return "Data" in module.declarations or TRANSFORM in module.functions


def data_migration(
    module: Module, named: tuple[str, str], file: SourceFile, verify: Section | None
) -> Migration:
    """The migration of a module with a transformation. Raises LoadError."""
    marker = module.declarations.get("Data")
    if marker is None:
        raise _wrong(
            module,
            TRANSFORM,
            "transform without a Data marker",
            "Write `# +migrate Data table=users key=id columns=…` above it",
        )
    if not takes(module, TRANSFORM, "rows", "conn"):
        raise ModuleError(
            file.name,
            marker.line,
            "a Data marker without `async def transform(rows, conn)`",
            "Write the function, or leave the marker out",
        )
    if "up" in module.functions:
        raise _wrong(module, "up", "up and transform in one module", "Write them as two migrations")
    checksum = module_checksum(file.content)
    found = declared(marker, file.name, columns=True)
    up = _in_batches(module, found, TRANSFORM, checksum)
    up = with_checks(up, _constant(module, "GATE"), _constant(module, "VALIDATE"))
    version, name = named
    notes = (note_of(found, file.name),)
    migration = Migration(version, name, "python", up, None, verify, (file,), notes=notes)
    return way_back(module.fault, migration, lambda: _down(module, found, checksum))


def _down(module: Module, up: Declared, checksum: str) -> Section | None:
    marker = module.declarations.get("Down")
    if marker is not None:
        found = declared(marker, module.file, up)
        entry = RESTORED if takes(module, RESTORED, "rows", "conn") else ""
        if not found.batches.restore or "down" in module.functions:
            raise ModuleError(
                module.file,
                marker.line,
                "a Down marker that does not fit",
                "Write `# +migrate Down restore` without `down`, or `async def down(conn)` alone",
            )
        return _in_batches(module, found, entry, checksum)
    if takes(module, "down", "conn"):
        program = Program(Language.PYTHON, module.file, module.text, "down")
        return Section((), module.options.get("Down", Options()), checksum, program)
    return automatic_down(up) if up.batches.backup else None


def _in_batches(module: Module, found: Declared, entry: str, checksum: str) -> Section:
    program = Program(Language.PYTHON, module.file, module.text, entry) if entry else None
    return Section((), found.options, checksum, program, found.batches)


def _constant(module: Module, name: str) -> Body | None:
    """The SQL in a constant of the module, read without running it. Raises ModuleError."""
    for node in module.tree.body:
        if not isinstance(node, ast.Assign):
            continue
        if name not in [target.id for target in node.targets if isinstance(target, ast.Name)]:
            continue
        value = node.value
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            raise ModuleError(
                module.file, node.lineno, f"{name} is not a plain text", "Write its SQL in quotes"
            )
        return Body(value.value, module.file, b"", line=value.lineno)
    return None


def _wrong(module: Module, function: str, problem: str, remedy: str) -> LoadError:
    return ModuleError(module.file, module.functions[function].lineno, problem, remedy)
