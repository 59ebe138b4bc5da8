"""What is asked of a database before anything is applied there: the table `[preflight]`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ledger.settings.sections import Seconds, SettingsSection
from migrations.model.preflight import (
    SUBJECTS,
    CheckBounds,
    Enforcement,
    PreflightCheck,
    PreflightPolicy,
    PreflightVerdict,
    UnknownCounts,
)
from migrations.model.windows import window_of

_BOUND = r"(?:\d+(?:\.\d+)?)?"
_WRITTEN = re.compile(rf"({_BOUND})/({_BOUND})")
_SUFFIXES = {"": "", "s": "_s", "MB": "_mb", "h": "_h", "%": "_percent", "min": "_min"}
_SETTINGS = {
    check: f"{check}{_SUFFIXES[subject.unit]}"
    for check, subject in SUBJECTS.items()
    if check is not PreflightCheck.PRIMARY
}
"""How the settings of checks are called: with their unit. A standby is never written to."""
_COUNTING = (PreflightVerdict.BLOCK, PreflightVerdict.WARN, PreflightVerdict.FINE)


def _several(separator: str) -> BeforeValidator:
    """Variables hold a list with separators; files hold it as a list."""

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return [part.strip() for part in value.split(separator) if part.strip()]

    return BeforeValidator(split)


def _limits(value: object) -> str:
    found = _WRITTEN.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write WARN/BLOCK, such as 60/600; leave one out that is never reached")
    return found[0]


WarnAndBlock = Annotated[str, BeforeValidator(_limits)]
"""From where on a check warns and blocks, as `WARN/BLOCK`."""


def _usual(check: PreflightCheck) -> str:
    return "/".join("" if bound is None else f"{bound:.12g}" for bound in SUBJECTS[check].bounds)


def _of(check: PreflightCheck) -> WarnAndBlock:
    subject = SUBJECTS[check]
    below = ", too little" if subject.too_little else ""
    unit = f" in {subject.unit}" if subject.unit else ""
    said: WarnAndBlock = Field(
        _usual(check), description=f"WARN/BLOCK: {subject.what}{unit}{below}"
    )
    return said


class PreflightSection(SettingsSection):
    """What counts as a bad moment; a check that blocks keeps everything from being applied."""

    enforcement: Literal["block", "warn", "off"] = Field(
        "block", description="what a check that blocks does: keep the database, tell it, or nothing"
    )
    wait_s: Seconds = Field(
        3600.0, description="seconds for which a blocked database is tried again until it fails"
    )
    unknown: Annotated[tuple[str, ...], _several(",")] = Field(
        (),
        description="what it counts as that a check cannot tell, `CHECK=block|warn|pass`, by comma",
    )
    windows: Annotated[tuple[str, ...], _several(";")] = Field(
        (),
        description="when changes may be made, by `;`: `mon-fri 22:00-06:00 Europe/Berlin`, "
        "`sat,sun 00:00-24:00 UTC for tier=gold`; those of a database's labels win",
    )
    backup_query: str | None = Field(
        None,
        description="a SELECT that says when the last backup ended; the archiver's word, if unset",
    )
    space_query: str | None = Field(None, description="a SELECT that says how many bytes are free")
    rights: WarnAndBlock = _of(PreflightCheck.RIGHTS)
    server_version: WarnAndBlock = _of(PreflightCheck.SERVER_VERSION)
    free_space_mb: WarnAndBlock = _of(PreflightCheck.FREE_SPACE)
    invalid_indexes: WarnAndBlock = _of(PreflightCheck.INVALID_INDEXES)
    transactions_s: WarnAndBlock = _of(PreflightCheck.TRANSACTIONS)
    idle_in_transaction_s: WarnAndBlock = _of(PreflightCheck.IDLE)
    snapshots_s: WarnAndBlock = _of(PreflightCheck.SNAPSHOTS)
    autovacuum: WarnAndBlock = _of(PreflightCheck.AUTOVACUUM)
    wraparound: WarnAndBlock = _of(PreflightCheck.WRAPAROUND)
    slots_mb: WarnAndBlock = _of(PreflightCheck.SLOTS)
    lag_mb: WarnAndBlock = _of(PreflightCheck.LAG)
    table_size_mb: WarnAndBlock = _of(PreflightCheck.TABLE_SIZE)
    table_rows: WarnAndBlock = _of(PreflightCheck.TABLE_ROWS)
    connections_percent: WarnAndBlock = _of(PreflightCheck.CONNECTIONS)
    backup_age_h: WarnAndBlock = _of(PreflightCheck.BACKUP)
    window_min: WarnAndBlock = _of(PreflightCheck.WINDOW)

    @field_validator("unknown")
    @classmethod
    def _is_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            _counts(one)
        return value

    @field_validator("windows")
    @classmethod
    def _is_open(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            window_of(one)
        return value

    @model_validator(mode="after")
    def _warns_before_it_blocks(self) -> PreflightSection:
        for one in self._bounds():
            if one.warn is None or one.block is None or one.warn == one.block:
                continue
            if (one.block < one.warn) is not SUBJECTS[one.check].too_little:
                raise ValueError(f"{one.check} blocks before it warns; write WARN/BLOCK")
        return self

    @property
    def policy(self) -> PreflightPolicy:
        """The same as an order carries it: only what is not as usual."""
        usual = {check: CheckBounds(check, *SUBJECTS[check].bounds) for check in SUBJECTS}
        return PreflightPolicy(
            enforcement=Enforcement(self.enforcement),
            bounds=tuple(one for one in self._bounds() if one != usual[one.check]),
            unknown=tuple(map(_counts, self.unknown)),
            windows=tuple(map(window_of, self.windows)),
            backup_query=self.backup_query or "",
            space_query=self.space_query or "",
            wait_s=self.wait_s,
        )

    def _bounds(self) -> list[CheckBounds]:
        found = []
        for check, setting in _SETTINGS.items():
            warn, block = getattr(self, setting).split("/")
            found.append(CheckBounds(check, _number(warn), _number(block)))
        return found


def _number(written: str) -> float | None:
    return float(written) if written else None


def _counts(written: str) -> UnknownCounts:
    check, _, verdict = written.partition("=")
    if check not in list(PreflightCheck) or verdict not in list(_COUNTING):
        checks = ", ".join(PreflightCheck)
        raise ValueError(
            f"{ascii(written)[1:-1]!r} is none; write CHECK=block, =warn or =pass, where CHECK is "
            f"one of {checks}"
        )
    return UnknownCounts(PreflightCheck(check), PreflightVerdict(verdict))
