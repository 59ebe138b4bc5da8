"""Everything that `migrations` raises on purpose.

    MigrationsError
    ├── LoadError                 a folder or file cannot be read as migrations
    │   ├── FolderError           the folder is missing, empty or unreadable
    │   ├── FileNameError         a file name carries no version
    │   ├── DuplicateVersionError two files claim the same version
    │   ├── FormatError          the file format is unknown or cannot be told
    │   ├── EncodingError         bytes that are not clean UTF-8 text
    │   ├── MarkerError           markers, sections or options are wrong
    │   ├── VariableError         a placeholder without a value, or a value that does not fit
    │   ├── ModuleError           a Python module does not declare a migration
    │   ├── SqlSyntaxError        PostgreSQL's grammar refuses the text
    │   └── ForbiddenSqlError     valid SQL that a migration must not contain
    │       └── PsqlScriptError   what only psql understands
    ├── CreateError               a new migration file cannot be written
    │   └── WrongCreation         what is to be written cannot be meant
    └── RunError                  work on a database cannot go on; carries what is reported
        ├── Refused               nothing was tried
        │   ├── PoolerRefused     something stands between us and the server
        │   ├── StandbyRefused    the server is a standby
        │   ├── IdentityMismatch  not the database, journal or owner that was expected
        │   ├── SchemaRefused     the target's schema is not there, or closed; or triggers are off
    │   ├── JournalChanged    an entry of the journal was edited, taken out or put in
        │   ├── TooMuch           the database holds or says more than we take
        │   ├── JournalForged     what stands in the journal's place was made by another
        │   ├── ProgramRefused    a program in a migration may not run here
        │   ├── StaleEpoch        a later order was here before
        │   ├── EpochBeyond       the journal names an order that no ledger ever issues
        │   ├── ClockApart        two clocks do not agree what time it is
        │   ├── TooLate           the time in which it may begin is over
        │   ├── OtherHistory      folder and journal have nothing in common
        │   ├── (Behind)          what comes before is not there (running/prerequisites.py)
        │   └── StillInUse        the tool that was adopted has gone on here
        ├── AdoptionRefused       another tool's history cannot be taken over as it is
        ├── Unreachable           no session can be had
        │   └── Unavailable       not now: the server restarts, fails over or is full
        ├── LockUnavailable       another holds the target's lock, or changes what we read
        ├── LockLost              the lock or the journal's head is not ours any more
        ├── JournalTouched        a migration wrote to our journal, or altered it
        ├── RoleChanged           a migration is to change the role that it runs as
        ├── TransactionEnded      a script ended the transaction that guards it
        ├── GuardsReset           a script reset what guards its transaction
        ├── DataRefused           a data migration does not fit the table, or its own checks
        ├── VerifyFailed          a Verify section found the change not to hold
        ├── IndexFailed           a concurrent index build did not leave a valid index
        └── InDoubt               no probe can tell whether a statement took effect

Messages say what is wrong and what to do next, and of SQL only single words, to be found again.
"""

from __future__ import annotations

from enum import StrEnum


class MigrationsError(Exception):
    """Root of all errors of this package."""


class LoadError(MigrationsError):
    """A folder or file cannot be read as migrations.

    `file` is the name relative to the folder (or the folder itself), `line` and `column` are
    1-based and `None` where the whole file is meant, `problem` says what is wrong and `remedy` what
    to write instead.
    """

    def __init__(
        self, file: str, line: int | None, problem: str, remedy: str, column: int | None = None
    ) -> None:
        super().__init__(file, line, problem, remedy, column)
        self.file = file
        self.line = line
        self.column = column
        self.problem = problem
        self.remedy = remedy

    @property
    def place(self) -> str:
        """`file`, `file:line` or `file:line:column`, as editors understand it."""
        parts = (self.file, self.line, self.column)
        return ":".join(str(part) for part in parts if part is not None)

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. {self.remedy}"


class FolderError(LoadError):
    """The folder is missing, empty or unreadable."""


class FileNameError(LoadError):
    """A file name carries no version."""


class DuplicateVersionError(LoadError):
    """Two files claim the same version."""


class FormatError(LoadError):
    """The file format is unknown or cannot be told."""


class EncodingError(LoadError):
    """The bytes of a file are not clean UTF-8 text."""


class MarkerError(LoadError):
    """Markers, sections or options are wrong."""


class VariableError(LoadError):
    """A placeholder has no value, or a value does not fit in its place."""


class ModuleError(LoadError):
    """A Python module does not declare a migration."""


class SqlSyntaxError(LoadError):
    """PostgreSQL's grammar refuses the text."""


class ForbiddenSqlError(LoadError):
    """Valid SQL that a migration must not contain."""


class PsqlScriptError(ForbiddenSqlError):
    """What only psql understands: its commands, its variables, data of COPY inline."""


class CreateError(MigrationsError):
    """A new migration file cannot be written; nothing was changed on disk."""


class WrongCreation(CreateError):
    """What is to be written cannot be meant: an unknown recipe, a value missing, a name taken."""


class FailureClass(StrEnum):
    """What went wrong, as a word that rules and people may rely on; grouped by who finds it."""

    # --- before anything is tried ---
    EXPIRED = "expired"
    """The order came too late."""
    REFERENCE = "reference"
    """The secret's reference cannot be read here, or may not be."""
    UNREACHABLE = "unreachable"
    """No session can be had."""
    UNAVAILABLE = "unavailable"
    """The server was away, starting or full for as long as it was waited for."""
    POOLER = "pooler"
    """Something stands between the agent and the server."""
    IDENTITY = "identity"
    """Another database, journal or owner than was expected, or a standby."""
    FENCE = "fence"
    """A later order was here before."""
    CLOCK = "clock"
    """Two clocks do not agree what time it is."""
    PROGRAM = "program"
    """A program in a migration may not or cannot run here."""
    CHECKSUM = "checksum"
    """Another text than the one that was ordered or applied."""
    OUT_OF_ORDER = "out_of_order"
    """It would come before something that is applied already."""
    BEHIND = "behind"
    """It lacks what comes before, and the order does not bring that."""
    HALF_DONE = "half_done"
    """Some of it is done in the other direction, which has to be finished first."""
    IRREVERSIBLE = "irreversible"
    """There is no way back from it."""
    ADOPTION = "adoption"
    """Another tool's history cannot be taken over as it is."""
    HISTORY = "history"
    """The tool that was adopted has gone on here."""
    LIMIT = "limit"
    """The database holds, or says, more than is taken from any one."""
    PREFLIGHT = "preflight"
    """What is asked before anything is applied says that this is no good moment."""
    # --- while it runs ---
    LOCK_TIMEOUT = "lock_timeout"
    """A lock was not to be had in time."""
    LOCK_LOST = "lock_lost"
    """The target's lock, or the journal's head, is somebody else's by now."""
    SQL = "sql"
    """The server refused a statement."""
    CODE = "code"
    """A program in a migration failed."""
    DATA = "data"
    """A data migration does not fit the table, or its own checks."""
    VERIFY = "verify"
    """A Verify section found the change not to hold."""
    CANCELLED = "cancelled"
    """It was stopped by order."""
    IN_DOUBT = "in_doubt"
    """Nothing can tell whether a statement took effect: a person has to say."""
    LEFT_OUT = "left_out"
    """The fleet has suspended or retired the database."""
    INTERNAL = "internal"
    """A defect of this program."""
    UNKNOWN = "unknown"
    """A newer program said a word that this one does not know; the log has the word itself."""

    @classmethod
    def _missing_(cls, value: object) -> FailureClass | None:
        """Agents are upgraded one by one: a report with a new word is a report nevertheless."""
        return cls.UNKNOWN if isinstance(value, str) else None


class RunError(MigrationsError):
    """Work on a database cannot go on; `blocker`: pid, state and age of who stood in the way."""

    kind = FailureClass.INTERNAL

    def __init__(self, message: str, *, blocker: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.blocker = blocker


class Refused(RunError):
    """Nothing was tried, and nothing was written."""


class PoolerRefused(Refused):
    """Something stands between us and the server, so that a session lock protects nothing."""

    kind = FailureClass.POOLER


class StandbyRefused(Refused):
    """The server is a standby, where nothing can be written."""

    kind = FailureClass.IDENTITY


class IdentityMismatch(Refused):
    """Not the database, the journal or the owner that was expected."""

    kind = FailureClass.IDENTITY


class SchemaRefused(Refused):
    """The target's schema is not there, or closed to us; or no trigger would fire in it."""

    kind = FailureClass.IDENTITY


class OtherHistory(Refused):
    """The folder has nothing in common with what is applied: another application, or database."""

    kind = FailureClass.HISTORY


class TooMuch(Refused):
    """The database holds, or says, more than we take from any one."""

    kind = FailureClass.LIMIT


class JournalChanged(Refused):
    """An entry of the journal is not as it was written, so none behind it can be believed."""

    kind = FailureClass.IDENTITY


class JournalForged(Refused):
    """What stands in the journal's place was made, or can be changed, by another than us."""

    kind = FailureClass.IDENTITY


class StaleEpoch(Refused):
    """An order with a higher epoch was here before."""

    kind = FailureClass.FENCE


class EpochBeyond(Refused):
    """The journal names an order so far ahead that no ledger has issued it."""

    kind = FailureClass.IDENTITY


class ClockApart(Refused):
    """The clock of whoever works and another one do not agree what time it is."""

    kind = FailureClass.CLOCK


class TooLate(Refused):
    """The time in which the order may begin is over, and it has not begun."""

    kind = FailureClass.EXPIRED


class StillInUse(Refused):
    """The tool that was adopted has gone on writing its own history here."""

    kind = FailureClass.HISTORY


class AdoptionRefused(RunError):
    """Another tool's history cannot be taken over as it is; the journal did not change."""

    kind = FailureClass.ADOPTION


class ProgramRefused(Refused):
    """A migration is a program in a language that may not run here."""

    kind = FailureClass.PROGRAM


class Unreachable(RunError):
    """No session can be had; `transient` says whether trying again can help.

    `reason` says why in a few words, for who waits.
    """

    kind = FailureClass.UNREACHABLE

    def __init__(self, message: str, *, transient: bool = False, reason: str = "") -> None:
        super().__init__(message)
        self.transient = transient
        self.reason = reason


class Unavailable(Unreachable):
    """No session can be had now: the server restarts, fails over, is starting or is full.

    It is waited for.
    """

    kind = FailureClass.UNAVAILABLE

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, transient=True, reason=reason)


class LockUnavailable(RunError):
    """Another holds the target's lock, or changes what is read, for longer than we wait."""

    kind = FailureClass.LOCK_TIMEOUT


class LockLost(RunError):
    """The lock or the journal's head is not ours any more; the transaction was rolled back."""

    kind = FailureClass.LOCK_LOST


class JournalTouched(RunError):
    """A migration wrote to our journal, or altered it; all of it was rolled back."""

    kind = FailureClass.SQL


class RoleChanged(RunError):
    """A migration is to change the role that it runs as; nothing of it was run."""

    kind = FailureClass.SQL


class TransactionEnded(RunError):
    """A script ended the transaction that guards it, so that parts of it may be committed."""

    kind = FailureClass.IN_DOUBT


class GuardsReset(RunError):
    """A script reset what guards its transaction; all of it was rolled back."""

    kind = FailureClass.SQL


class DataRefused(RunError):
    """A data migration does not fit the table, or its own checks found rows they must not find."""

    kind = FailureClass.DATA


class VerifyFailed(RunError):
    """A Verify section found that the change does not hold."""

    kind = FailureClass.VERIFY


class IndexFailed(RunError):
    """A concurrent index build did not leave a valid index."""

    kind = FailureClass.SQL


class InDoubt(RunError):
    """No probe can tell whether a statement took effect; a person has to say."""

    kind = FailureClass.IN_DOUBT
