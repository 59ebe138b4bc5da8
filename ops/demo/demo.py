"""A fleet, a release in waves, a release that fails and is taken back, and the record of it all.

    python ops/demo/demo.py [--bus kafka|local] [--databases NUMBER]

With `kafka`: PostgreSQL 18, a real Apache Kafka broker, `ledger serve` and two agents, each a
process of its own. With `local`: PostgreSQL and one process at a time. Everything lies in one
temporary folder and is gone afterwards, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tomllib
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ops.demo.stage import DemoFailed, Stage
from ops.demo.tenants import NAMES, TWICE, Fleet, customers

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "migrations" / "examples"
FIRST = 5
"""Examples that a first release has: plain SQL, which needs no leave and no second thought."""
RELEASE = ROOT / "ops" / "demo" / "release"
AGENTS = {"LEDGER_AGENT_SECRET_ROOTS": "secrets", "LEDGER_AGENT_INSECURE_POSTGRES": "true"}
"""Where agents find the tenants' passwords; the server of the demo has no certificate."""
SERVERS_S = 300.0
"""The first start fetches the broker."""
PROGRAM_S = 180.0
ROLLOUT_UNDONE = 3
"""Exit code of a rollout that halted, failed somewhere or was undone."""

BLOCKED = 1
"""Exit code of `ledger check` when a database would be blocked."""
DRIFTED = 7
"""Exit code of `ledger drift` when somebody has."""


def play(stage: Stage, names: tuple[str, ...], *, kafka: bool) -> None:
    """The whole demo, in order."""
    start_servers(stage, kafka=kafka)
    make_fleet(stage, names)
    start_ledger(stage, kafka=kafka)
    register(stage)
    first_release(stage)
    failing_release(stage, names)
    changed_by_hand(stage, names)
    look_back(stage)


def start_servers(stage: Stage, *, kafka: bool) -> None:
    """Local servers from packages, and the settings that point at them."""
    servers = "PostgreSQL 18 and Apache Kafka" if kafka else "PostgreSQL 18"
    stage.title(f"{servers}, from packages, in {stage.folder}")
    made = stage.folder / "servers" / "ledger.toml"
    stage.leave_running(
        f"ledger dev {'--kafka ' if kafka else ''}--folder servers",
        lambda _: made.exists() and made.stat().st_size > 0,
        SERVERS_S,
        loud=True,
    )
    stage.say("What it wrote to servers/ledger.toml, as variables of this shell:")
    stage.export({"LEDGER_DATABASE_URL": _settings(stage)["database_url"]}, secret=True)
    stage.export({"LEDGER_NAME": "demo"})
    if kafka:
        stage.export({"LEDGER_KAFKA_BOOTSTRAP": _settings(stage, "kafka")["bootstrap"]})
    else:
        # The commands of one process read the tenants' passwords themselves.
        stage.export(AGENTS)


def make_fleet(stage: Stage, names: tuple[str, ...]) -> None:
    """What a team has before it has a ledger."""
    stage.title(f"{len(names)} customers, a database each, a few thousand users in every one")
    bar = "\r" if sys.stdout.isatty() else ""

    def progress(made: int, total: int) -> None:
        if bar or made in (1, total):
            print(f"{bar}{made:>4} of {total} databases", end="" if bar else "\n", flush=True)

    asyncio.run(_fleet(stage, names).make(progress))
    print(end="\n" if bar else "")
    (stage.folder / "migrations").mkdir()
    for file in sorted(EXAMPLES.glob("*.sql"))[:FIRST]:
        shutil.copy(file, stage.folder / "migrations")


def start_ledger(stage: Stage, *, kafka: bool) -> None:
    """The ledger's own schema; with a broker, the leader and two agents."""
    stage.title("The ledger")
    stage.type("ledger init --yes")
    if not kafka:
        stage.say("Without a broker nothing else has to run: commands do the work themselves.")
        return
    stage.leave_running("ledger serve", lambda words: "leading as" in words, PROGRAM_S)
    variables = {
        "LEDGER_KAFKA_BOOTSTRAP": _settings(stage, "kafka")["bootstrap"],
        **AGENTS,
    }
    for name in ("agent-1", "agent-2"):
        stage.leave_running(
            f"ledger-agent run --pool default --name {name}",
            lambda words: "serves pool" in words,
            PROGRAM_S,
            variables,
            alone=True,
        )
    stage.say("The ledger knows no password of any tenant; agents read them below `secrets`.")


def register(stage: Stage) -> None:
    """The fleet is told to the ledger and looked at."""
    stage.title("The fleet")
    stage.type("head -n 12 fleet.yaml")
    stage.type("ledger fleet import fleet.yaml --reason 'first customers' --yes")
    stage.type("ledger fleet check --select tier=gold")


def first_release(stage: Stage) -> None:
    """Five migrations on forty databases, in waves."""
    stage.title("A release: five migrations, in waves, the canary first")
    stage.type("ledger plan")
    stage.type(
        "ledger rollout start --waves 1,10%,rest --reason 'spring release' --ticket OPS-101 --yes"
    )


def failing_release(stage: Stage, names: tuple[str, ...]) -> None:
    """Data that nobody knew of stops a release, which is taken back where it ran."""
    stage.title("Another release, and some tenants' data is not what it expects")
    shutil.copytree(RELEASE, stage.folder / "release")
    for file in sorted(RELEASE.glob("*.sql")):
        stage.type(f"cp release/{file.name} migrations/")
    stage.type("ledger lint")
    stage.say("The first release has told how small these tables are, so it is no error.")
    stage.say(f"Somebody at {names[0]} left a transaction open; would it be in the way?")
    with _fleet(stage, names).forgotten_session(names[0]):
        stage.type(
            "LEDGER_PREFLIGHT_IDLE_IN_TRANSACTION_S=/0 ledger check --select tier=gold",
            ends_with=BLOCKED,
        )
    stage.say("At most two databases may fail; if more do, everything is taken back by itself.")
    stage.type(
        "ledger rollout start --budget 2 --when-spent rollback --in-flight 6 "
        "--reason 'one account per address' --ticket OPS-117 --yes",
        ends_with=ROLLOUT_UNDONE,
    )


def changed_by_hand(stage: Stage, names: tuple[str, ...]) -> None:
    """One database is not like the others any more, and no migration says so."""
    stage.title(f"Somebody made an index by hand at {names[-1]}")
    _fleet(stage, names).change_by_hand(names[-1])
    stage.type("ledger drift", ends_with=DRIFTED)


def look_back(stage: Stage) -> None:
    """What an operator looks at next, and what an auditor asks."""
    stage.title("The record")
    stage.type("ledger rollout list")
    stage.type("ledger status --select tier=gold")
    stage.type(f"ledger history {TWICE[0]}")
    stage.type("ledger replay")
    stage.type("ledger audit verify")


def _fleet(stage: Stage, names: tuple[str, ...]) -> Fleet:
    return Fleet(_settings(stage)["database_url"], stage.folder, names)


def _settings(stage: Stage, *path: str) -> dict[str, str]:
    found = tomllib.loads((stage.folder / "servers" / "ledger.toml").read_text(encoding="utf-8"))
    for part in path:
        found = found[part]
    return found


def main() -> None:
    """Play, and clean up whatever happens."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bus", choices=("kafka", "local"), default="kafka")
    parser.add_argument("--databases", type=int, default=len(NAMES), help="Fewer are quicker.")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Stage() as stage:
            try:
                play(stage, customers(given.databases), kafka=given.bus == "kafka")
            except DemoFailed as failure:
                raise SystemExit(f"\nThe demo failed: {failure}\n{stage.last_words()}") from None
            stage.title(f"Done, in {stage.elapsed_s:.0f} s")
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left behind.")
        raise SystemExit(130) from None
    print("README.md says how to start for real.")


if __name__ == "__main__":
    main()
