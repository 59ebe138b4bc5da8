"""Everything that `ledger` raises on purpose. Every message names the next action.

LedgerError                     something the person at the terminal can act upon
├── WrongArgument               the command line cannot mean anything
├── FleetFileError              a file of databases cannot be used
├── QuestionWithoutTerminal     something must be confirmed, and nobody can be asked
├── NotConfirmed                the person said no
├── NoSuchThing                 what was named is not in the log
│   ├── UnknownBundle           no bundle, or several, have this digest
│   ├── NoBundle                no bundle is registered at all
│   ├── NoSuchVersion           a bundle has no migration of this version
│   ├── NoSuchRollout           no rollout has this id, or none is unfinished
│   ├── SeveralRollouts         more than one rollout is meant
│   ├── NothingOfThatName       neither a database nor a rollout is called so
│   ├── NoSuchEvent             the log does not go so far
│   └── UnknownCheck            no check has this id
├── ReadModelsBehind            nobody brings the read models up to date
├── StoreError                  the log did not take or give what was asked of it
│   ├── VersionConflict         the stream moved on since the decision was made
│   ├── Overtaken               the log holds what the decision did not know
│   ├── DuplicateEventDiffers   one event id stands for two contents
│   ├── PartlyKnown             some events of a batch are in the log already, some are not
│   ├── NotPermitted            the session's role may not do this
│   ├── StaleTerm               another process leads by now
│   ├── LeadershipTaken         another process leads
│   ├── LeadershipLost          this process led, and does no longer
│   ├── LeadershipNotTaken      a silent leader's session could not be ended
│   ├── WrongClock              this host's clock is not the ledger's
│   ├── TailMissing             the log's last events are gone
│   └── ContentNotFound         no text has this hash
└── LedgerUnusable              the ledger's database cannot be used by this program
    ├── LedgerUnreachable       nothing answers, or the connection was lost and stays lost
    ├── LedgerIsStandby         the database is a standby, or read-only
    ├── NotInstalled            the database holds no ledger
    ├── SchemaVersionMismatch   the ledger's schema is older or newer than this program
    └── DatabaseUnsuitable      the database cannot hold a ledger
"""

from __future__ import annotations

from collections.abc import Sequence


class LedgerError(Exception):
    """Something the person at the terminal can act upon; `exit_code` is how the program ends."""

    exit_code: int = 1


class WrongArgument(LedgerError):
    """The command line cannot mean anything."""

    exit_code = 2


class FleetFileError(LedgerError):
    """A file of databases, for `ledger fleet apply` and others, cannot be used."""

    exit_code = 2


class QuestionWithoutTerminal(LedgerError):
    """Something must be confirmed, and nobody can be asked."""

    exit_code = 2

    def __init__(self) -> None:
        what = "this changes something and there is no terminal to ask at"
        super().__init__(f"{what}; say --yes if it is meant")


class NotConfirmed(LedgerError):
    """The person said no."""

    def __init__(self) -> None:
        super().__init__("not confirmed, nothing was changed; start again when you are sure")


class NoSuchThing(LedgerError):
    """What was named is not in the log."""

    exit_code = 4


class UnknownBundle(NoSuchThing):
    """No bundle, or several, have this digest or this beginning of one."""

    def __init__(self, digest: str) -> None:
        what = f"no single bundle is named by {digest!r}"
        super().__init__(f"{what}; `ledger bundle list` shows all of them")
        self.digest = digest


class NoBundle(NoSuchThing):
    """No bundle is registered at all."""

    def __init__(self) -> None:
        super().__init__(
            "no bundle is registered; name a folder with --folder, "
            "or register one with `ledger bundle register DIR`"
        )


class NoSuchVersion(NoSuchThing):
    """A bundle has no migration of this version; `nearest` is that of the one most like it."""

    def __init__(self, version: str, bundle: str, nearest: str | None = None) -> None:
        name = bundle[:12]
        what = f"bundle {name} has no migration {version!r}{_or(nearest)}"
        super().__init__(f"{what}; `ledger bundle show {name}` lists them")


def _or(nearest: str | None) -> str:
    return f" (the nearest is {nearest})" if nearest else ""


class NoSuchRollout(NoSuchThing):
    """No rollout has this id, or none is unfinished; `nearest` is the one most like it."""

    def __init__(
        self, rollout: str | None, nearest: str | None = None, *, is_database: bool = False
    ) -> None:
        what = f"there is no rollout {rollout!r}" if rollout else "no rollout is unfinished"
        what += ", but a database is called so" if is_database else _or(nearest)
        super().__init__(f"{what}; `ledger rollout list` shows all of them, name one by its id")


class NothingOfThatName(NoSuchThing):
    """Nothing is called so; `nearest` is the name most like it, `way` what was rather meant."""

    def __init__(self, name: str, nearest: str | None = None, way: str = "") -> None:
        way = way or "see `ledger fleet list`, `ledger rollout list` and `ledger bundle list`"
        super().__init__(f"nothing is called {name!r}{_or(nearest)}; {way}")


class SeveralRollouts(NoSuchThing):
    """More than one rollout is meant."""

    def __init__(self, rollouts: Sequence[str]) -> None:
        super().__init__(f"several rollouts are meant: {', '.join(rollouts)}; name one of them")
        self.rollouts = tuple(rollouts)


class NoSuchEvent(NoSuchThing):
    """The log does not go so far."""

    def __init__(self, position: int, head: int, advice: str) -> None:
        super().__init__(
            f"there is no event at position {position}: the log ends at {head}; {advice}"
        )


class UnknownCheck(NoSuchThing):
    """No check has this id."""

    def __init__(self, check: str) -> None:
        super().__init__(f"there is no check {check!r}; make one with `ledger fleet check`")


class ReadModelsBehind(LedgerError):
    """Nobody brings the read models up to date, and this role may not."""

    exit_code = 5

    def __init__(self, position: int, head: int) -> None:
        lacking = "1 event" if head - position == 1 else f"{head - position:,} events"
        super().__init__(
            f"what can be shown is {lacking} behind the log, nobody brings it up to "
            "date, and this role may not; start `ledger serve`, or connect as a member of "
            "ledger_service"
        )


class StoreError(LedgerError):
    """The log did not take or give what was asked of it."""


class VersionConflict(StoreError):
    """The stream moved on since the decision was made."""

    exit_code = 4

    def __init__(self, stream: str, expected: int, found: int) -> None:
        super().__init__(
            f"{stream} is at version {found}, the decision was made at version {expected}; "
            "look at it again and repeat the request if it still holds"
        )
        self.stream = stream
        self.expected = expected
        self.found = found


class Overtaken(StoreError):
    """What came into the log since the decision was made changes it."""

    exit_code = 4

    def __init__(self, stream: str, known: int) -> None:
        super().__init__(
            f"{stream} was decided on as it was at position {known}, and what came since changes "
            "the decision; look at it again and repeat the request"
        )
        self.stream = stream
        self.known = known


class DuplicateEventDiffers(StoreError):
    """One event id stands for two contents; `position` is where the first is recorded, if it is."""

    def __init__(self, event_id: str, position: int | None) -> None:
        place = f"at position {position}" if position else "in the same batch"
        super().__init__(
            f"event {event_id} is known {place} with other content; nothing was recorded: "
            "give what differs an id of its own"
        )
        self.event_id = event_id
        self.position = position


class RequestUnfit(StoreError):
    """The database does not record this: nobody could read it, or it speaks of nothing."""

    def __init__(self, type: str, why: str) -> None:
        super().__init__(
            f"the ledger's database does not record this {type}: {why}; nothing was recorded: "
            "use `ledger` in the version that this ledger has, or run `ledger upgrade`"
        )
        self.event_type = type
        self.why = why


class PartlyKnown(StoreError):
    """Some events of a batch are in the log already, some are not."""

    def __init__(self, known: int, given: int) -> None:
        super().__init__(
            f"{known} of {given} events are in the log already; nothing was recorded: "
            "repeat the same batch as it was, or ask for known events to be skipped"
        )
        self.known = known
        self.given = given


class NotPermitted(StoreError):
    """The session's role may not do this; `event_type` is what it tried to append, if it did."""

    exit_code = 4

    def __init__(self, role: str, event_type: str | None = None) -> None:
        what = f"append {event_type}" if event_type else "do this in the ledger"
        super().__init__(
            f"role {role} may not {what}; connect as a member of ledger_operator (requests) or "
            "ledger_service (everything), or run `ledger upgrade` if the event type is new"
        )
        self.role = role
        self.event_type = event_type


class StaleTerm(StoreError):
    """Another process leads by now."""

    exit_code = 4

    def __init__(self, term: int | None, current: int) -> None:
        super().__init__(
            f"leadership term {term} has ended, term {current} is current; nothing was recorded: "
            "stop here, whoever leads now goes on"
        )
        self.term = term
        self.current = current


class AnotherLeader(StoreError):
    """Another process leads: who, where, since when; `silence` is what to say if it is silent."""

    exit_code = 4

    def __init__(self, leader: str, host: str, since: str, silence: str = "") -> None:
        leads = f"{leader} on {host} leads since {since}"
        super().__init__(
            f"{leads} and {silence}; stop it on its host, "
            "or lead in its place with `ledger serve --take-over`"
            if silence
            else f"{leads}; stop it first, or leave the work to it and watch"
        )
        self.leader = leader
        self.host = host
        self.since = since


class LeadershipLost(StoreError):
    """This process led, and does no longer."""

    exit_code = 5

    def __init__(self) -> None:
        super().__init__(
            "leadership is lost: the connection that held it ended, or nobody answered there; "
            "nothing is lost, start `ledger serve` again when the ledger's database answers"
        )


class LeadershipNotTaken(StoreError):
    """A silent leader's session could not be ended, so nobody else can lead yet."""

    exit_code = 4

    def __init__(self, why: str, pid: int, role: str) -> None:
        super().__init__(
            f"{why}; connect as {role}, or let a superuser of the ledger's database run "
            f"SELECT pg_terminate_backend({pid}), and start `ledger serve`"
        )
        self.pid = pid


class WrongClock(StoreError):
    """This host's clock is not the ledger's: what is in time would be given up, or never be."""

    exit_code = 5

    def __init__(self, why: str) -> None:
        super().__init__(f"this process does not lead: {why}; start it again when that is done")


class TailMissing(StoreError):
    """The log's last events are gone; nothing can be appended behind a gap."""

    exit_code = 7

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the event at position {position}, the log's last, is missing; "
            "run `ledger audit verify` and restore the ledger's database"
        )
        self.position = position


class ContentNotFound(StoreError):
    """No text has this hash."""

    def __init__(self, sha256: str) -> None:
        super().__init__(
            f"no text with SHA-256 {sha256} is stored; register its folder again "
            "with `ledger bundle register`"
        )
        self.sha256 = sha256


class LedgerUnusable(LedgerError):
    """The ledger's database cannot be used by this program."""

    exit_code = 6


class LedgerUnreachable(LedgerUnusable):
    """Nothing answers, or the connection was lost and stays lost."""

    def __init__(self, said: str, remedy: str, place: str = "") -> None:
        at = f", {place}," if place else ""
        super().__init__(f"the ledger's database{at} {said}; {remedy}")
        self.said = said
        self.remedy = remedy
        self.place = place


class LedgerIsStandby(LedgerUnusable):
    """The database is a standby, or read-only."""

    def __init__(self) -> None:
        super().__init__(
            "the ledger's database is a standby or read-only; point the settings at the primary: "
            "decisions are never made from a copy"
        )


class NotInstalled(LedgerUnusable):
    """The database holds no ledger."""

    def __init__(self) -> None:
        super().__init__("this database holds no ledger; run `ledger init` to make one")


class SchemaVersionMismatch(LedgerUnusable):
    """The ledger's schema is older or newer than this program."""

    def __init__(self, found: int, wanted: int) -> None:
        remedy = (
            "run `ledger upgrade`"
            if found < wanted
            else "upgrade this program: a newer one has run `ledger upgrade` already"
        )
        super().__init__(
            f"the ledger's schema has version {found}, this program needs {wanted}; {remedy}"
        )
        self.found = found
        self.wanted = wanted


class DatabaseUnsuitable(LedgerUnusable):
    """The database cannot hold a ledger."""
