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
    └── RunError                  work on a database cannot go on; carries what is reported
        ├── Refused               nothing was tried
        │   ├── PoolerRefused     something stands between us and the server
        │   ├── StandbyRefused    the server is a standby
        │   ├── IdentityMismatch  not the database, journal or owner that was expected
        │   ├── JournalChanged    an entry of the journal was edited, taken out or put in
        │   ├── TooMuch           the database holds or says more than we take
        │   ├── JournalForged     what stands in the journal's place was made by another
        │   ├── ProgramRefused    a program in a migration may not run here
        │   ├── StaleEpoch        a later order was here before
        │   ├── EpochBeyond       the journal names an order that no ledger ever issues
        │   ├── ClockApart        two clocks do not agree what time it is
        │   ├── TooLate           the time in which it may begin is over
        │   └── StillInUse        the tool that was adopted has gone on here
        ├── AdoptionRefused       another tool's history cannot be taken over as it is
        ├── Unreachable           no session can be had
        ├── LockUnavailable       another migrator holds the target's lock
        ├── LockLost              the lock or the journal's head is not ours any more
        ├── JournalNotOurs        a long entry needs room that only the journal's owner can make
        ├── TransactionEnded      a script ended the transaction that guards it
        ├── DataRefused           a data migration does not fit the table, or its own checks
        ├── VerifyFailed          a Verify section found the change not to hold
        ├── IndexFailed           a concurrent index build did not leave a valid index
        └── InDoubt               no probe can tell whether a statement took effect

Every message says what is wrong and what to do next. Messages never carry literals of the SQL text
except single words that the author has to find again.
"""

from __future__ import annotations


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


class RunError(MigrationsError):
    """Work on a database cannot go on. `kind` is that of `migrations.model.work.Failure`.

    `blocker` says who stood in the way: pid, state and age, without query text.
    """

    kind = "internal"

    def __init__(self, message: str, *, blocker: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.blocker = blocker


class Refused(RunError):
    """Nothing was tried, and nothing was written."""


class PoolerRefused(Refused):
    """Something stands between us and the server, so that a session lock protects nothing."""

    kind = "pooler"


class StandbyRefused(Refused):
    """The server is a standby, where nothing can be written."""

    kind = "identity"


class IdentityMismatch(Refused):
    """Not the database, the journal or the owner that was expected."""

    kind = "identity"


class TooMuch(Refused):
    """The database holds, or says, more than we take from any one."""

    kind = "limit"


class JournalChanged(Refused):
    """An entry of the journal is not as it was written, so none behind it can be believed."""

    kind = "identity"


class JournalForged(Refused):
    """What stands in the journal's place was made, or can be changed, by another than us."""

    kind = "identity"


class StaleEpoch(Refused):
    """An order with a higher epoch was here before."""

    kind = "fence"


class EpochBeyond(Refused):
    """The journal names an order so far ahead that no ledger has issued it."""

    kind = "identity"


class ClockApart(Refused):
    """The clock of whoever works and another one do not agree what time it is."""

    kind = "clock"


class TooLate(Refused):
    """The time in which the order may begin is over, and it has not begun."""

    kind = "expired"


class StillInUse(Refused):
    """The tool that was adopted has gone on writing its own history here."""

    kind = "history"


class AdoptionRefused(RunError):
    """Another tool's history cannot be taken over as it is; the journal did not change."""

    kind = "adoption"


class ProgramRefused(Refused):
    """A migration is a program in a language that may not run here."""

    kind = "program"


class Unreachable(RunError):
    """No session can be had; `transient` says whether trying again can help."""

    kind = "unreachable"

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class LockUnavailable(RunError):
    """Another migrator holds the target's lock for longer than we wait."""

    kind = "lock_timeout"


class LockLost(RunError):
    """The lock or the journal's head is not ours any more; the transaction was rolled back."""

    kind = "lock_lost"


class JournalNotOurs(RunError):
    """A long entry needs room that only the journal's owner can make; nothing was written."""

    kind = "sql"


class TransactionEnded(RunError):
    """A script ended the transaction that guards it, so that parts of it may be committed."""

    kind = "in_doubt"


class DataRefused(RunError):
    """A data migration does not fit the table, or its own checks found rows they must not find."""

    kind = "data"


class VerifyFailed(RunError):
    """A Verify section found that the change does not hold."""

    kind = "verify"


class IndexFailed(RunError):
    """A concurrent index build did not leave a valid index."""

    kind = "sql"


class InDoubt(RunError):
    """No probe can tell whether a statement took effect; a person has to say."""

    kind = "in_doubt"
