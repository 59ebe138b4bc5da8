"""The values that events, commands and reports share: how a database is reached, what is run."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WireValue(BaseModel):
    """An immutable part of a message. Unknown fields are ignored, so that a newer side may add."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class TargetName(NamedTuple):
    """One target: a schema of a database on a server.

    As a connection names it before anybody connects, `server` is `host:port` and `database` a name;
    as the server itself proves it, `server` is its system identifier and `database` an object id.
    An empty `schema` is the database's own default.
    """

    server: str
    database: str
    schema: str

    def __str__(self) -> str:
        schema = f" (schema {self.schema})" if self.schema else ""
        return f"{self.server}/{self.database}{schema}"


class Connection(WireValue):
    """Where a database is and how its secret is named; never the secret itself.

    `password` is a reference: `env:NAME` or `file:PATH`, in which `{database}` stands for the
    database's id. `schema_name` makes one schema of the database the target; empty means the
    database's own default. `role` is set with SET ROLE before migrations run.
    """

    host: str
    port: int = 5432
    dbname: str
    user: str
    password: str | None = None
    sslmode: str | None = None
    schema_name: str = ""
    role: str | None = None

    @property
    def target(self) -> TargetName:
        """Where it leads; host names do not differ by case or a dot at their end."""
        host = self.host.lower().removesuffix(".")
        return TargetName(f"{host}:{self.port}", self.dbname, self.schema_name)


class ContentRef(WireValue):
    """A text by its hash. `name` is the file's name in its folder, `size` is in bytes."""

    name: str
    sha256: Sha256
    size: int


class Accepted(WireValue):
    """A person's leave to take a migration's text for another one that was applied; and why."""

    checksum: Sha256
    reason: str


class MigrationRef(WireValue):
    """A migration without its text: what it is called, what it hashes to, what it can do."""

    version: str
    name: str
    format: str
    up_checksum: Sha256
    down_checksum: Sha256 | None
    has_verify: bool
    transactional: bool
    files: tuple[ContentRef, ...]
    kind: str = "sql"
    """`sql`, `python`, `psql` or `data`: what an agent must be allowed and able to run."""
    notes: tuple[str, ...] = ()
    """What whoever reads the plan should know."""
    variables: tuple[str, ...] = ()
    """Names of the variables that its text is filled with."""
    repeatable: bool = False
    """Runs again whenever its up section has changed."""
    replaces: tuple[str, ...] | None = None
    """Of a baseline: the versions in whose place it runs where there is no history."""
    unit: str = ""
    """`version_name` of the change that it is a phase of; else empty."""
    phase: Literal["", "expand", "migrate", "contract"] = ""
    """Which part of its unit it is."""
    down_problem: str = ""
    """Why its down section cannot run, with file, line and remedy; empty if nothing is wrong."""
    accepts: tuple[Accepted, ...] = ()
    """Other up sections that databases may have had applied under this version."""

    @property
    def label(self) -> str:
        """`version_name`, as people write it."""
        return f"{self.version}_{self.name}" if self.name else self.version

    @property
    def reversible(self) -> bool:
        """Whether there is a down section that can run."""
        return self.down_checksum is not None and not self.down_problem


class Variable(WireValue):
    """What a placeholder stands for: a value, or in each database the value of its `label`.

    Of a label, `value` is the sample that folders are read with.
    """

    name: str
    value: str
    label: str | None = None


class DatabaseValues(WireValue):
    """The values of variables that one database has for itself: names and values, sorted."""

    database: str
    values: tuple[tuple[str, str], ...]


class Step(WireValue):
    """One migration of an order, with the checksum of the section that is to run."""

    version: str
    checksum: Sha256
