"""What was found, in the forms that programs of others read: SARIF, and GitHub's annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from migrations.lint.finding import LintFinding, Severity
from migrations.lint.rule import Rule
from migrations.printable import escaped

SARIF_VERSION = "2.1.0"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_IN_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTY = {**_IN_DATA, ":": "%3A", ",": "%2C"}


def advice(finding: LintFinding) -> str:
    """Why it hurts, what to write, and the command that writes it."""
    written = f" Have it written: `{finding.recipe}`." if finding.recipe else ""
    seen = f"Seen in a scratch database: {finding.seen}. " if finding.seen else ""
    return f"{seen}{finding.why} {finding.rewrite}{written}"


def sarif(
    findings: Sequence[LintFinding],
    ignored: Sequence[tuple[LintFinding, str]],
    rules: Mapping[str, Rule],
    said: Sequence[str],
    release: str,
) -> dict[str, Any]:
    """The document; `said` is what kept the run from being whole, `release` is ours.

    Source: SARIF 2.1.0, an OASIS standard.
    """
    named = sorted({one.rule for one in (*findings, *(each for each, _ in ignored))})
    results = [_result(one, named) for one in findings]
    for finding, reason in ignored:
        suppressed = [{"kind": "inSource", "justification": escaped(reason)}]
        results.append(_result(finding, named) | {"suppressions": suppressed})
    notices = [{"level": "note", "message": {"text": escaped(text)}} for text in said]
    return {
        "$schema": SARIF_SCHEMA,
        "version": SARIF_VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ledger lint",
                        "version": release,
                        "rules": [_rule(rules[name]) for name in named],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {"executionSuccessful": True, "toolExecutionNotifications": notices}
                ],
                "results": results,
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.why},
        "help": {"text": rule.rewrite},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
    }


def _result(finding: LintFinding, rules: Sequence[str]) -> dict[str, Any]:
    text = f"{finding.what[:1].upper()}{finding.what[1:]}. {advice(finding)}"
    # What stays the same when lines move above it: so a page knows it again.
    same = f"{finding.rule}\0{finding.file}\0{finding.statement}\0{finding.what}"
    place = {
        "artifactLocation": {"uri": quote(finding.file)},
        "region": {"startLine": finding.line},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": escaped(text)},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"finding/v1": hashlib.sha256(same.encode()).hexdigest()},
    }


def annotated(findings: Sequence[LintFinding]) -> Iterator[str]:
    """A line for each finding, as GitHub's runner reads it from the output of a step."""
    for one in findings:
        place = f"file={_property(one.file)},line={one.line},title={_property(one.rule)}"
        text = _spelled(escaped(f"{one.what}. {advice(one)}"), _IN_DATA)
        yield f"::{_COMMANDS[one.severity]} {place}::{text}"


def _property(text: str) -> str:
    return _spelled(escaped(text), _IN_PROPERTY)


def _spelled(text: str, codes: Mapping[str, str]) -> str:
    return "".join(codes.get(letter, letter) for letter in text)
