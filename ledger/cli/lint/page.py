"""What was found, for people: the worst first, by file, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ledger.domain.wording import number_of
from migrations.lint.finding import LintFinding, Severity
from migrations.printable import escaped

if TYPE_CHECKING:
    from migrations.lint.judgement import Judgement


def page(findings: Sequence[LintFinding]) -> Iterator[str]:
    """The lines: a file, its findings with place, severity and rule, and below each the way out."""
    by_file: dict[str, list[LintFinding]] = {}
    for one in findings:
        by_file.setdefault(one.file, []).append(one)
    for file, found in by_file.items():
        yield escaped(file)
        for one in found:
            yield f"  line {one.line}: {one.severity}, {one.rule}: {escaped(one.what)}"
            if one.seen:
                yield f"    seen in a scratch database: {escaped(one.seen)}"
            yield f"    {one.why}"
            yield f"    {one.rewrite}"
            if one.recipe:
                yield f"    {escaped(one.recipe)}"
        yield ""


def counted(judgement: Judgement) -> str:
    """How much was found, in one line."""
    kinds = [
        number_of(judgement.count(severity), noun)
        for severity, noun in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "hint"),
        )
        if judgement.count(severity)
    ]
    files = len({one.file for one in judgement.findings})
    said = f"{', '.join(kinds)} in {number_of(files, 'file')}" if kinds else "Nothing was found"
    ignored = len(judgement.ignored)
    return f"{said}; {ignored} ignored." if ignored else f"{said}."
