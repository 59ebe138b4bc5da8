"""What can be set, with defaults, units and reasons. Secrets are `SecretStr`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from ledger.contracts.registry import Variable
from ledger.settings.address import check_address
from ledger.settings.errors import SettingsError
from ledger.settings.notify import NotifySection
from ledger.settings.preflight import PreflightSection
from ledger.settings.sections import (
    HowMany,
    Seconds,
    SettingsSection,
    SharedSettings,
    SigningSection,
    SomeSeconds,
)
from migrations.model.attempt import WatchdogPolicy, WhenBlocked
from migrations.model.folder_history import NAME
from migrations.model.migration import TIMEOUT_MAX_S


class Transport(StrEnum):
    """How orders travel to agents."""

    LOCAL = "local"
    """Agents live in the ledger's own process; no broker."""
    KAFKA = "kafka"


OF_THE_PROJECT = frozenset({"name", "rollout", "variables", "bundle", "lint"})
"""What a `ledger.toml` in the working folder may set: it describes the project. All else decides
what runs here, whom we trust or where secrets go; a folder that somebody else wrote may not."""

SIZE_MAX_MB = 1e9
"""A petabyte."""
Timeout = Annotated[float, Field(ge=0, le=TIMEOUT_MAX_S)]
"""Seconds, no more than the server takes."""


class RolloutSection(SettingsSection):
    """What a rollout does unless its own flags say otherwise."""

    waves: str = Field("1,10%,rest", description="sizes of the waves: counts, percents, `rest`")
    in_flight: HowMany = Field(50, description="databases worked on at the same time")
    budget: str = Field("0", description="how many databases may fail: a count or a percent")
    when_spent: Literal["halt", "rollback"] = Field(
        "halt", description="what a rollout does when its budget is spent"
    )
    lock_timeout_s: Timeout = Field(
        2.0, description="seconds a statement waits for a lock before it is tried again later"
    )
    statement_timeout_s: Timeout = Field(0.0, description="seconds per statement; 0 is no limit")
    expiry_s: SomeSeconds = Field(
        3600.0, description="seconds until an order that nobody started is ordered again"
    )
    deadline_s: SomeSeconds = Field(
        14400.0, description="seconds until an order without an answer counts as unknown"
    )
    require_rehearsal: bool = Field(
        False, description="refuse a rollout whose bundle `ledger test` has not found to go well"
    )
    rehearsal_max_age_days: float = Field(
        7.0, gt=0, le=3650, description="days after which a rehearsal does not count any more"
    )


class WatchdogSection(SettingsSection):
    """What is done about a statement that waits for what others hold."""

    when_blocked: Literal["wait", "give_up", "cancel"] = Field(
        "wait",
        description="wait, give the statement up, or cancel what blocks it, "
        "if `agent.cancel_blockers` lets agents do so",
    )
    after_s: Seconds = Field(10.0, description="seconds of one wait after which that is done")

    @property
    def policy(self) -> WatchdogPolicy:
        """The same as an order carries it."""
        return WatchdogPolicy(WhenBlocked(self.when_blocked), self.after_s)


class BundleSection(SettingsSection):
    """What a folder of migrations is called."""

    name: str | None = Field(
        None,
        pattern=f"^{NAME}$",
        description="name of the folder's history, which versions belong to: databases of one "
        "ledger, or applications in one database, are told apart by it; as the folder, if unset",
    )


class LintLimits(SettingsSection):
    """From where on some rules hold."""

    lock_timeout_s: Timeout = Field(
        30.0, description="seconds that a migration may ask to wait for a lock"
    )
    parents: HowMany = Field(
        1, description="tables in use that one transaction may lock by foreign keys"
    )
    key_columns: HowMany = Field(3, description="columns that an index may have")
    small_table_mb: float = Field(
        16.0,
        ge=0,
        le=SIZE_MAX_MB,
        description="a table that is smaller in every database makes a finding less bad",
    )
    large_table_mb: float = Field(
        1024.0,
        gt=0,
        le=SIZE_MAX_MB,
        description="a table as large as this in any database makes a finding worse",
    )


class LintSection(SettingsSection):
    """What `ledger lint` finds, and how bad that is."""

    fail_on: Literal["error", "warning", "info"] = Field(
        "error", description="from which severity on a finding makes `ledger lint` fail"
    )
    squawk: bool = Field(True, description="ask squawk, too, where it is installed")
    schema_per_tenant: bool = Field(
        False, description="the folder is for databases in which each tenant has a schema"
    )
    severity: dict[str, Literal["error", "warning", "info", "off"]] = Field(
        default_factory=dict, description="how bad a finding is, by rule; `off` leaves it out"
    )
    phases: dict[str, tuple[Literal["expand", "migrate", "contract"], ...]] = Field(
        default_factory=dict, description="the phases in which a rule says nothing, by rule"
    )
    limits: LintLimits = Field(default_factory=LintLimits)


class LabelVariable(SettingsSection):
    """A variable that has another value in each database: that of the database's label."""

    label: str = Field(min_length=1, description="the label whose value it takes")
    sample: str = Field(description="stands in its place while a folder is read")


class Settings(SharedSettings):
    """All settings, checked. `load` is the way to get one: it knows the origins too."""

    database_url: SecretStr | None = Field(
        None, description="the ledger's own PostgreSQL database, as a postgresql:// address"
    )
    insecure_database: bool = Field(
        False, description="allow a ledger elsewhere whose server does not prove who it is"
    )
    scratch_url: SecretStr | None = Field(
        None,
        description="the server on which scratch databases are made, as a postgresql:// address "
        "of a role with CREATEDB; an embedded one, if unset",
    )
    insecure_scratch: bool = Field(
        False, description="allow such a server elsewhere that does not prove who it is"
    )
    name: str = Field(
        "ledger", min_length=1, description="what this ledger is called in questions and titles"
    )
    resend_s: SomeSeconds = Field(
        30.0, description="seconds until an unanswered order is published again"
    )
    signing: SigningSection = Field(default_factory=SigningSection)
    rollout: RolloutSection = Field(default_factory=RolloutSection)
    bundle: BundleSection = Field(default_factory=BundleSection)
    preflight: PreflightSection = Field(default_factory=PreflightSection)
    watchdog: WatchdogSection = Field(default_factory=WatchdogSection)
    lint: LintSection = Field(default_factory=LintSection)
    notify: NotifySection = Field(default_factory=NotifySection)
    variables: dict[str, str | LabelVariable] = Field(
        default_factory=dict,
        description="what placeholders in migrations stand for, by name; never a secret",
    )

    @property
    def transport(self) -> Transport:
        """Kafka when a broker is configured, else one process."""
        return Transport.KAFKA if self.kafka.bootstrap else Transport.LOCAL

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The variables, by name."""
        return tuple(
            Variable(name=name, value=said)
            if isinstance(said, str)
            else Variable(name=name, value=said.sample, label=said.label)
            for name, said in sorted(self.variables.items())
        )

    @property
    def ledger_url(self) -> str:
        """Address of the ledger's database, with its password.

        Raises `SettingsError` if it is unset, cannot be read, or trusts whoever answers.
        """
        if self.database_url is None:
            raise SettingsError(
                "no ledger is named; set LEDGER_DATABASE_URL, or database_url in your own "
                "settings file (`ledger config show -o json` names it), or start one to try things "
                "with `ledger dev`"
            )
        url = self.database_url.get_secret_value()
        check_address(url, insecure=self.insecure_database)
        return url
