"""The values that events, commands and reports share: how a database is reached, what is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
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

    host: str
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
    database: str
    schema: str = ""
    history: str = ""

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
