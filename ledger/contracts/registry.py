"""The values that events, commands and reports share: how a database is reached, what is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PORT_END = 100_000
"""More than any port; who registers a database is told which ones there are."""
NAME_MOST = 500
Name = Annotated[str, Field(max_length=NAME_MOST)]
"""Of what tables are asked for: an index has no entry of more than 2,704 bytes."""
Part = Annotated[str, Field(max_length=120)]
"""Of a target's name, of which an index holds all."""
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""What fits into a column of the read models: what no table can hold is no event."""
WaveCount = Annotated[int, Field(ge=0, le=100_000)]
"""Of waves, for each of which whoever reads a rollout keeps something."""
BigCount = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Of rows and of positions, which may be more."""
LongSeconds = Annotated[float, Field(ge=0, le=10**9)]
"""Up to thirty years: a moment so far from now can still be said."""
Percentage = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""In percent."""


def _in_utc(moment: datetime) -> datetime:
    """Raises `ValueError` for a moment that has no date in UTC."""
    if moment.tzinfo is not None:
        try:
            moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("it is no moment that can be kept") from None
    return moment


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""With a date in UTC too, as tables keep it."""
DEFAULT_PORT = 5432
"""PostgreSQL's."""


class WireValue(BaseModel):
    """An immutable part of a message. Unknown fields are ignored, so that a newer side may add.

    What checks a class is built when the first one is made: a program needs few of the eighty.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens: a name, an address or the folder of a Unix socket, and its port."""

    host: Annotated[str, Field(max_length=255)]
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TargetName:
    """One target: a schema of a database on a server, and in it one application's history.

    `database` is its name on that server. An empty `schema` is the database's own default, an empty
    `history` the first one there; a further application is told from it by its name.
    """

    server: ServerAddress
    database: Part
    schema: Part = ""
    history: Part = ""

    @property
    def canonical(self) -> TargetName:
        """The same target in one spelling: host names do not differ by case or a dot at the end."""
        host = self.server.host.lower().removesuffix(".")
        return replace(self, server=ServerAddress(host, self.server.port))

    def __str__(self) -> str:
        named = {"schema": self.schema, "history": self.history}
        said = ", ".join(f"{what} {name}" for what, name in named.items() if name)
        return f"{self.server}/{self.database}" + (f" ({said})" if said else "")


class Connection(WireValue):
    """The target, and as whom it is worked on; how the secret is named, never the secret itself.

    `password` is a reference: `env:NAME` or `file:PATH`, in which `{database}` stands for the
    database's id. `role` is set with SET ROLE before migrations run. In `further_schemas` names are
    looked up behind the target's own schema; nothing is made there.
    """

    target: TargetName
    user: str
    password: str | None = None
    sslmode: str | None = None
    role: str | None = None
    further_schemas: tuple[str, ...] = ()

    @classmethod
    def at(
        cls,
        host: str,
        database: str,
        port: int = DEFAULT_PORT,
        schema: str = "",
        history: str = "",
        **login: str | Sequence[str] | None,
    ) -> Self:
        """The connection of which the parts are said one by one. Raises `ValidationError`."""
        server = {"host": host, "port": port}
        target = {"server": server, "database": database, "schema": schema, "history": history}
        return cls.model_validate({"target": target, **login})

    @property
    def parts(self) -> dict[str, Any]:
        """What `at` takes: every part by its own name."""
        target, server = self.target, self.target.server
        return {
            "host": server.host,
            "port": server.port,
            "database": target.database,
            "schema": target.schema,
            "history": target.history,
            **self.model_dump(exclude={"target"}),
        }


def _kept(connection: Connection) -> Connection:
    """Raises `ValueError` for a port that no column holds; the fleet says which ones can be."""
    if not 0 <= connection.target.server.port < PORT_END:
        raise ValueError("its port is none")
    return connection


KeptConnection = Annotated[Connection, AfterValidator(_kept)]
"""As the fleet's table holds it."""


class ContentRef(WireValue):
    """A text by its hash. `name` is the file's name in its folder, `size` is in bytes."""

    name: str
    sha256: Sha256
    size: Count


class Accepted(WireValue):
    """A person's leave to take a migration's text for another one that was applied; and why."""

    checksum: Sha256
    reason: str


class MigrationRef(WireValue):
    """A migration without its text: what it is called, what it hashes to, what it can do."""

    version: Name
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
    replaces: tuple[Name, ...] | None = None
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

    database: Name
    values: tuple[tuple[str, str], ...]


class Step(WireValue):
    """One migration of an order, with the checksum of the section that is to run."""

    version: Name
    checksum: Sha256
