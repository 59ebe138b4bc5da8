"""A rehearsal as JUnit XML, which build servers read: a suite, and a case for each part.

Source: the form that Jenkins, GitLab and GitHub's reporters take; there is no standard.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from ledger.cli.rehearsal.page import place_of, text_of
from migrations.printable import escaped
from migrations.rehearsal.results import Mark, MigrationRehearsal, PartResult, Rehearsal

_NO_XML = re.compile("[\ufffe\uffff]")
"""What XML has no way to write, beside what is escaped everywhere."""


def junit(found: Rehearsal, folder: Path, files: frozenset[str]) -> bytes:
    """The document."""
    suite = ElementTree.Element("testsuite", name=_clean(f"ledger test {folder}"))
    properties = ElementTree.SubElement(suite, "properties")
    release = f"{found.server_version // 10_000}.{found.server_version % 10_000}"
    ElementTree.SubElement(properties, "property", name="postgresql", value=release)
    for one in found.migrations:
        for part in one.parts:
            _case(suite, one, part, folder, files)
    parts = [part for one in found.migrations for part in one.parts]
    numbers = {
        "tests": str(len(parts)),
        "failures": str(sum(part.mark is Mark.FAILED for part in parts)),
        "errors": "0",
        "skipped": str(sum(part.mark is Mark.SKIPPED for part in parts)),
        "time": _seconds(found.duration_ms),
    }
    suite.attrib.update(numbers)
    whole = ElementTree.Element("testsuites", numbers)
    whole.append(suite)
    ElementTree.indent(whole)
    document: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(
    suite: ElementTree.Element,
    one: MigrationRehearsal,
    part: PartResult,
    folder: Path,
    files: frozenset[str],
) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(one.label),
        name=part.part.value,
        time=_seconds(part.duration_ms),
    )
    if part.mark is Mark.SKIPPED:
        ElementTree.SubElement(case, "skipped", message=_clean(part.note))
    for problem in part.problems:
        place = place_of(problem, folder, files)
        file, _, line = place.rpartition(":") if problem.line else (place, "", "")
        if file:
            case.set("file", _clean(file))
        if line:
            case.set("line", line)
        lead = f"{place}: " if place else ""
        message = _clean(f"{lead}{problem.message}")
        failure = ElementTree.SubElement(case, "failure", message=message, type=part.part.value)
        failure.text = "\n".join(map(_clean, f"{lead}{text_of(problem)}".split("\n")))


def _seconds(duration_ms: int) -> str:
    return f"{duration_ms / 1000:.3f}"


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", escaped(text))
