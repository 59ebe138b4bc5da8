"""Files that a migration of tern takes in: `{{ template "shared/users.sql" . }}`.

The text of such a file stands in the place of the action, and may take others in. What is reported
of it has the line of the action: an operator looks for it in the migration's own file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from migrations.errors import LoadError, VariableError
from migrations.formats import Reading
from migrations.formats.encoding import text_of
from migrations.formats.sections import Body, Built, build
from migrations.formats.variables import Filled
from migrations.model.migration import SourceFile

_TEMPLATE = re.compile(r"\{\{[ \t]*template[ \t]+\"(?P<name>[^\"\n]+)\"(?:[ \t]+[.$])?[ \t]*\}\}")
_DEEPEST = 8
"""Files within files; tern itself ends at a larger number."""


@dataclass(slots=True)
class Whole:
    """A section with what it takes in; `longer` as in `Filled`."""

    body: Body
    files: dict[str, SourceFile] = field(default_factory=dict)
    longer: tuple[tuple[int, int], ...] = ()

    def built(self, body: Body, reading: Reading) -> Built:
        """The section of `body`, which is ours with more said, on the file's own lines.

        Raises LoadError.
        """
        if not self.longer:
            return build(body, reading)
        lines = Filled(body.text, (), (), self.longer)
        try:
            found = build(replace(body, down=False), reading)
        except LoadError as error:
            if error is not self.body.fault and error.line is not None:
                line = lines.line(error.line, body.line)
                error = type(error)(error.file, line, error.problem, error.remedy)
            return build(replace(body, fault=error), reading)
        statements = tuple(
            replace(one, line=lines.line(one.line, body.line)) for one in found.section.statements
        )
        return replace(found, section=replace(found.section, statements=statements))


def whole_of(body: Body, shared: Mapping[str, SourceFile]) -> Whole:
    """The section with the text of what it takes in; what is not there is its fault."""
    whole = Whole(body)
    longer: list[tuple[int, int]] = []
    added = 0

    def put(found: re.Match[str]) -> str:
        nonlocal added
        line = body.text.count("\n", 0, found.start())
        try:
            text = _text(found["name"], shared, whole.files, _DEEPEST)
        except LoadError as error:
            place = f"`{found.group()[:80]}`: {error.problem}"
            fault = VariableError(body.file, body.line + line, place, error.remedy)
            whole.body = replace(whole.body, fault=whole.body.fault or fault)
            return found.group()
        if ends := text.count("\n"):
            added += ends
            longer.append((line + added, added))
        return text

    text = _TEMPLATE.sub(put, body.text)
    if text != body.text:
        whole.body = replace(whole.body, text=text, hashed=text.encode())
    whole.longer = tuple(longer)
    return whole


def _text(
    name: str, shared: Mapping[str, SourceFile], taken: dict[str, SourceFile], deeper: int
) -> str:
    """The text of a file with what it takes in itself. Raises VariableError and EncodingError."""
    file = next((one for at, one in shared.items() if at == name or at.endswith(f"/{name}")), None)
    if file is None or deeper == 0:
        problem = "there is no such file" if file is None else "files take each other in too deeply"
        raise VariableError(name, None, problem, "Add the file, or write its text in its place")
    taken[file.name] = file
    return _TEMPLATE.sub(
        lambda found: _text(found["name"], shared, taken, deeper - 1), text_of(file).rstrip("\n")
    )
