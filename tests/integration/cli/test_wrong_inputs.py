"""Wrong inputs, and the sentence that each gets: over all commands, as a person types them.

A row is a command line, how it ends, and words of its sentence: those that say what is wrong, and
those that say what to do. Nothing of it is recorded, and no class name, line of code or traceback
is in any answer. With `-o json` the same is one object on stderr.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ledger.cli.app.exits import ExitCode
from ledger.cli.app.main import app
from tests.integration.cli.conftest import Fleet
from tests.support.programs import every_command

USAGE, REFUSED = ExitCode.USAGE, ExitCode.REFUSED
UNREACHABLE = ExitCode.UNREACHABLE
WIDE = {"COLUMNS": "400"}
INTERNAL = re.compile(
    r"\w+(Error|Exception)\b|Traceback|pydantic|asyncpg|something unexpected|\bNone\b"
)
"""Words that no person is to read."""
NOBODY = "postgresql://ada:hunter2@127.0.0.1:1/ledger"

Row = tuple[str, ExitCode, str, str]

PLANS: list[Row] = [
    ("up --waves 0,-1,rest", USAGE, "0,-1,rest", "`1,10%,rest`"),
    ("up --waves 1,2", USAGE, "1 of 4 databases is in no wave", "rest"),
    ("up --waves ''", USAGE, "waves", "`1,10%,rest`"),
    ("up --budget 150%", USAGE, "150%", "like `2%`"),
    ("up --budget many", USAGE, "many", "like `2%`"),
    ("up --budget -1", USAGE, "-1", "like `2%`"),
    ("up --in-flight 0", USAGE, "--in-flight", "1 or more"),
    ("up --lock-timeout never", USAGE, "--lock-timeout", "'never' is no number"),
    ("up --select half=h9", REFUSED, "half=h9", "ledger fleet list"),
    ("up --select half==", USAGE, "column 6", ""),
    ("up --select 'half in'", USAGE, "", "("),
    ("up --folder nosuch", USAGE, "nosuch", "ledger create"),
    ("up --format nosuch", USAGE, "nosuch", "sql-migrate"),
    ("up --phase sideways", USAGE, "sideways", "expand"),
    ("up --to 99", REFUSED, "99", ""),
    ("up --bundle ffff", REFUSED, "ffff", "ledger bundle list"),
    ("up --var x", USAGE, "--var", "NAME=VALUE"),
    ("up --when-spent cry", USAGE, "cry", "halt"),
    ("up --nosuch", USAGE, "--nosuch", ""),
    ("up", USAGE, "there is no terminal to ask at", "--yes"),
    ("upp", USAGE, "upp", "up"),
    ("plan --down -1", USAGE, "--down", ""),
    ("plan --folder nosuch", USAGE, "nosuch", "ledger create"),
    ("plan --select half=", USAGE, "half=", ""),
    ("down 0", USAGE, "'0'", "1 or more"),
    ("down many", USAGE, "'many'", "is no whole number"),
    ("down --folder nosuch", USAGE, "nosuch", "ledger create"),
    ("status --select id", USAGE, "id", "column"),
    ("status --limit 0", USAGE, "--limit", ""),
]
FLEET: list[Row] = [
    ("fleet add t0 --host h --user u", REFUSED, "'t0' is registered already", "ledger fleet"),
    ("fleet add x --host h --user u --password p", USAGE, "password", "env:NAME"),
    ("fleet add x", USAGE, "host", "--host"),
    ("fleet add x --url nonsense", USAGE, "address", "postgresql://"),
    ("fleet add x --host h --user u --port 0", USAGE, "--port", ""),
    ("fleet add 'x y' --host h --user u", USAGE, "x y", ""),
    ("fleet add x --host h --user u --label tier", USAGE, "tier", "="),
    ("fleet import nosuch.yaml", USAGE, "nosuch.yaml", "YAML"),
    ("fleet import empty.yaml", USAGE, "empty.yaml", ""),
    ("fleet import bad.yaml", USAGE, "bad.yaml", ""),
    ("fleet list --select tier==", USAGE, "column 6", ""),
    ("fleet label t0", USAGE, "", "NAME=VALUE"),
    ("fleet label nobody tier=gold", REFUSED, "nobody", "ledger fleet list"),
    ("fleet suspend nobody", REFUSED, "nobody", "ledger fleet list"),
    ("fleet retire nobody", REFUSED, "nobody", "ledger fleet list"),
    ("fleet repoint nobody --host h", REFUSED, "nobody", "ledger fleet list"),
    ("fleet reinstate t0", USAGE, "", "--reason"),
    ("agents -o nosuch", USAGE, "nosuch", "table"),
    ("fleet reinstate nobody --reason x", REFUSED, "nobody", "ledger fleet list"),
    ("fleet reset-fence nobody --reason x", REFUSED, "nobody", "ledger fleet list"),
    ("fleet check --select id=nobody", REFUSED, "nobody", ""),
    ("fleet check --timeout soon", USAGE, "'soon'", "is no number"),
    ("fleet", USAGE, "", ""),
]
RECORD: list[Row] = [
    ("rollout status nosuch", REFUSED, "'nosuch'", "ledger rollout list"),
    ("rollout status", REFUSED, "no rollout is unfinished", "ledger rollout list"),
    ("traces show nosuch", REFUSED, "'nosuch'", ""),
    ("lint nosuch", USAGE, "nosuch", ""),
    ("drift --select id=nosuch", REFUSED, "nosuch", ""),
    ("fact record nosuch backup --yes", REFUSED, "'nosuch'", ""),
    ("notify test nosuch", USAGE, "no target is named", "notify.targets"),
    ("report durations nosuch", REFUSED, "nosuch", ""),
    ("test --folder /nosuch", USAGE, "/nosuch", ""),
    ("drift accept nosuch --reason x --yes", REFUSED, "'nosuch'", ""),
    ("rollout watch nosuch", REFUSED, "'nosuch'", "ledger rollout list"),
    ("rollout watch --timeout -1", USAGE, "--timeout", ""),
    ("rollout pause nosuch", REFUSED, "'nosuch'", "ledger rollout list"),
    ("rollout resume", REFUSED, "no rollout is unfinished", "ledger rollout list"),
    ("rollout abort", REFUSED, "no rollout is unfinished", "ledger rollout list"),
    ("rollout abort nosuch", REFUSED, "'nosuch'", "ledger rollout list"),
    ("rollout rollback nosuch", REFUSED, "'nosuch'", "ledger rollout list"),
    ("rollout retry", REFUSED, "no rollout is unfinished", "ledger rollout list"),
    ("rollout strat", USAGE, "strat", "start"),
    ("rollout start --folder nosuch", USAGE, "nosuch", "ledger create"),
    ("resolve t0 1 --applied --reason x", REFUSED, "", "ledger rollout list"),
    ("resolve t0 1 --reason x", USAGE, "", "--applied or --not-applied"),
    ("resolve t0", USAGE, "`ledger resolve` lacks MIGRATION", "ledger resolve --help"),
    ("history nosuch", REFUSED, "'nosuch'", "ledger fleet list"),
    ("history --limit 0", USAGE, "--limit", ""),
    ("events --type RolloutPaussed", USAGE, "RolloutPaussed", "RolloutPaused"),
    ("events --after x", USAGE, "--after", ""),
    ("audit set-aside 4711 --reason x", REFUSED, "4711", "ledger audit unreadable"),
    ("audit set-aside one --reason x", USAGE, "'one'", "is no whole number"),
    ("audit nosuch", USAGE, "nosuch", ""),
    ("bundle register nosuch", USAGE, "nosuch", "ledger create"),
    ("bundle show ffff", REFUSED, "ffff", "ledger bundle list"),
    ("create", USAGE, "", ""),
    ("create '' ", USAGE, "", ""),
    ("agents nobody", USAGE, "", ""),
    ("adopt nosuch", USAGE, "nosuch", ""),
    ("baseline", USAGE, "up to which migration", "--through VERSION"),
    ("baseline nosuch --through 1 --reason x", USAGE, "nosuch", "ledger create"),
    ("repair 1 --reason x", USAGE, "say what to accept", "--accept-changed or --gone"),
    ("repair 99 --gone --reason x", REFUSED, "99", "it was never registered"),
    ("status -o yaml", USAGE, "yaml", "json"),
    ("init", USAGE, "there is no terminal to ask at", "--yes"),
    ("upgrade", USAGE, "there is no terminal to ask at", "--yes"),
    ("keys register x --agent a --pool p", USAGE, "no public key", "ledger keys generate"),
    ("keys revoke nosuch --reason x", REFUSED, "nosuch", "ledger keys list"),
    ("keys generate", USAGE, "", ""),
    ("config shw", USAGE, "shw", "show"),
    ("--config nosuch.toml status", USAGE, "nosuch.toml", "--config"),
    ("--kafka-bootstrap broker:9092 serve", USAGE, "broker", "--insecure-bus"),
    ("db up", USAGE, "", ""),
    ("db status --database nonsense", USAGE, "address", "postgresql://"),
]
TYPED: list[Row] = [
    ("plan --down 1 --to 1", USAGE, "--down and --to exclude one another", "say one of them"),
    ("plan --down 1 --phase expand", USAGE, "--down and --phase exclude", "say one of them"),
    ("plan --all --sql", USAGE, "--all and --sql exclude", "say one of them"),
    ("plan --bundle a --folder migrations", USAGE, "--bundle and --folder", "say one of them"),
    ("up --bundle a --var x=1", USAGE, "--bundle and --var", "say one of them"),
    ("up --bundle ''", USAGE, "'--bundle': it is empty", "leave it out"),
    ("up --reason ' '", USAGE, "'--reason': it is empty", "leave it out"),
    ("up --ticket ''", USAGE, "'--ticket': it is empty", "leave it out"),
    ("up -s ''", USAGE, "the selection is empty", "for the whole fleet"),
    ("up -s id=t0 -s id=t1", USAGE, "--select is there twice", "with commas"),
    ("up --wait --no-wait", USAGE, "--wait and --no-wait exclude", "say one of them"),
    ("up --no-wait --timeout 5", USAGE, "--no-wait and --timeout", "say one of them"),
    ("up --in-flight 99999999999999999999", USAGE, "--in-flight", "at most 2,147,483,647"),
    ("up --deadline 1e300", USAGE, "--deadline", "at most 31,622,400 (366 days)"),
    ("up --timeout nan", USAGE, "--timeout", "'nan' is no number"),
    ("down 99999999999999999999", USAGE, "is too large", "at most 2,147,483,647"),
    ("down --allow-out-of-order", USAGE, "--allow-out-of-order is for going up", "leave it out"),
    ("status --limit 99999999999999999999", USAGE, "--limit", "at most 2,147,483,647"),
    ("status --all --behind", USAGE, "--all and --behind", "say one of them"),
    ("status --every 2", USAGE, "--every does nothing without --watch", "say both"),
    ("fleet list --limit -5", USAGE, "--limit", "1 or more"),
    ("fleet show ''", USAGE, "DATABASE': it is empty", "say what is meant"),
    ("fleet check --timeout -1", USAGE, "--timeout", "0 or more"),
    ("rollout retry ''", USAGE, "ROLLOUT': it is empty", "leave it out"),
    ("events --after 99999999999999999999", USAGE, "--after", "9,223,372,036,854,775,807"),
    ("events --after 9 --before 5", USAGE, "no position is behind 9 and before 5", "--after"),
    ("events --follow --until 1h", USAGE, "--follow and --until", "say one of them"),
    ("history --since 1h --until 2h", USAGE, "'1h' is not before --until '2h'", "--since"),
    ("history --since 9999-01-01", USAGE, "is still to come", "has passed"),
    ("history --until 9999-01-01", USAGE, "is still to come", "has passed"),
    ("history ''", USAGE, "WHAT': it is empty", "leave it out"),
    ("audit verify --at 99999999999999999999", USAGE, "--at", "9,223,372,036,854,775,807"),
    ("audit set-aside 0 --reason x", USAGE, "'0' is too small", "1 or more"),
    ("traces show x --limit 99999", USAGE, "--limit", "at most 10,000"),
    ("lint migrations --folder x", USAGE, "goes without --folder", "leave one of them out"),
    ("lint migrations/1_a.sql --all", USAGE, "goes without --all", "leave one of them out"),
    ("drift accept t0 -s id=t0", USAGE, "goes without --select", "leave one of them out"),
    ("drift accept t0 --no-sql --yes", USAGE, "goes without --sql", "leave one of them out"),
    ("check --folder ''", USAGE, "'--folder'", "it is empty"),
    ("resolve t0 1 --applied --not-applied --reason x", USAGE, "exclude", "say one of them"),
    ("repair 1 --accept-changed --gone --reason x", USAGE, "exclude", "say one of them"),
    ("dev --tenants 99999", USAGE, "--tenants", "at most 1,000"),
    ("-q status -v", USAGE, "--quiet and --verbose exclude", "say one of them"),
    ("--config '' status", USAGE, "'--config': it is empty", "leave it out"),
    ("--kafka-bootstrap '' status", USAGE, "'--kafka-bootstrap': it is empty", "leave it out"),
    ("create x --folder migrations/1_a.sql", USAGE, "cannot be made", "Name another folder"),
    ("create x --folder migrations/1_a.sql/y", USAGE, "cannot be made", "Name another folder"),
    ("plan --folder migrations/1_a.sql", USAGE, "cannot be listed", "Name a readable folder"),
    ("dev --folder migrations/1_a.sql", USAGE, "cannot be used", "correct the path"),
    ("--config no.toml status", USAGE, "no.toml is not TOML: line 2", "double quotes"),
    ("--config kind.toml status", USAGE, "monitoring.port (from kind.toml)", "no whole number"),
    ("--config table.toml status", USAGE, "rollout, which is a table", "write [rollout]"),
    ("fleet diff -f tab.yaml", USAGE, "line 2 is not YAML: it begins with a tab", "spaces"),
    ("--kafka-bootstrap :9092 status", USAGE, "':9092' has no host", "write HOST:PORT"),
    ("--kafka-bootstrap broker status", USAGE, "'broker' has no port", "write HOST:PORT"),
    ("--kafka-bootstrap b:x serve", USAGE, "'b:x' has a port that is none", "1 to 65,535"),
    ("--kafka-bootstrap b:70000 status", USAGE, "has a port that is none", "1 to 65,535"),
    ("--kafka-bootstrap kafka://b:1 status", USAGE, "has a scheme", "kafka.security_protocol"),
    ("--kafka-bootstrap 'a:1;b:2' status", USAGE, "more than one address", "with commas"),
    ("--kafka-bootstrap a:1,,b:2 status", USAGE, "an address is empty", "with commas"),
    ("--kafka-bootstrap ::1:9092 status", USAGE, "without brackets", "[::1]:9092"),
    ("--kafka-bootstrap u:pw@b:1 status", USAGE, "carries a login", "kafka.sasl_username"),
    ("status -s zzz=1", REFUSED, "no database has the label 'zzz';", "ledger fleet list"),
    ("status -s status=xyzzy", USAGE, "'xyzzy' is no status; there are", "active"),
    ("events --type Qqq", USAGE, "no event is of the type 'Qqq'", "like MigrationFailed"),
    ("db up -d env:LEDGER_DATABASE_URL --reason x", USAGE, "--outside-ledger", "say both"),
    ("db verify -d x --allow-shell", USAGE, "--allow-shell", "without --allow-code"),
]
LOOKED_AT: list[Row] = [
    ("check --timeout soon", USAGE, "'soon' is no number", "--timeout"),
    ("check -s id=nobody", REFUSED, "no database has id=nobody", "ledger fleet list"),
    ("check --folder nosuch", USAGE, "nosuch: cannot be listed", "Name the folder"),
    ("drift --timeout -5", USAGE, "--timeout", "0 or more"),
    ("drift acept t0 --reason x", USAGE, "write `ledger drift`", "drift accept DATABASE"),
    ("drift accept t0 t1 --reason x --yes", USAGE, "write `ledger drift`", "accept DATABASE"),
    ("fact record t0 bakcup", USAGE, "nothing follows from a fact 'bakcup'", "write backup"),
    ("fact record t0 backup --at tomorrow", USAGE, "'tomorrow' is no moment", "how long ago"),
    ("fact record t0 backup --at 2999-01-01", USAGE, "is still to come, it is 20", "has passed"),
    ("fact recrod t0 backup", USAGE, "no command 'recrod'", "write `ledger fact record`"),
    ("lint --since nosuchref", USAGE, "no commit 'nosuchref'", "fetch it first"),
    ("lint --fail-on never-ever", USAGE, "never-ever", "'warning'"),
    ("lint migrations nosuch", USAGE, "migrations is a folder, and stands", "name one folder"),
    ("lint --scratch env:NO", USAGE, "--scratch does nothing without --trace", "say both"),
    ("lint --trace --scratch nonsense", USAGE, "cannot be read", "write postgresql://"),
    ("test --after 99", USAGE, "no migration 99", "correct --after"),
    ("test --scratch env:NO", USAGE, "variable NO is not set", "set it, or name another"),
    ("test --schema-from nonsense", USAGE, "nonsense names no schema", "snapshot:PATH"),
    ("test --schema-from snapshot:bad.yaml", USAGE, "bad.yaml is no snapshot", "another file"),
    ("test --junit /nosuch/x.xml", USAGE, "there is no such folder", "name a file"),
    ("test --rows-like nosuch.json", USAGE, "nosuch.json: cannot be read", "ledger db shapes"),
    ("test --fixtures nosuch", USAGE, "nosuch: cannot be listed", "leave --fixtures out"),
    ("notify run", USAGE, "no target is named", "write [notify.targets.NAME]"),
    ("traces emit nosuch", REFUSED, "nothing is called 'nosuch'", "ledger rollout list"),
    ("traces show --limit 0", USAGE, "--limit", "1 or more"),
    ("report migrations 99", REFUSED, "no migration '99' ran", "ledger report migrations"),
    ("report migrations --since 1h --until 2h", USAGE, "'1h' is not before", "say the earlier"),
    ("report migrations --since soon", USAGE, "'soon' is no moment", "write how long ago"),
    ("report durations -s id=nobody", REFUSED, "no database has id=nobody", "fleet list"),
    ("report durations --slowest -1", USAGE, "--slowest", "0 or more"),
    ("db snapshot -d env:NO", USAGE, "variable NO is not set", "name another"),
    ("db snapshot --to /no/x -d x", USAGE, "there is no such folder", "name a file"),
    ("db diff snapshot:no.json", USAGE, "no.json: it cannot be read", "ledger db snapshot --to"),
    ("db diff snapshot:bad.yaml", USAGE, "bad.yaml: this is no", "ledger db snapshot --to"),
    ("db diff snapshot:x --other-schema y", USAGE, "is of one schema", "leave --other-schema"),
    ("keys register no --agent a --pool p", USAGE, "no public key", "ledger keys generate"),
    ("keys rotate nosuch x --reason x", REFUSED, "no key is called 'nosuch'", "keys list"),
    ("audit verify --expect 759", USAGE, "'759' is no end of a chain", "a colon and the 64"),
    ("audit verify --at 99999", REFUSED, "no event at position 99999", "name a position"),
    ("audit set-aside 1 --reason x", REFUSED, "can be read, so it stays", "audit unreadable"),
    ("plan --schema-from empty", USAGE, "does nothing without --trace", "say both"),
    ("plan --trace --down 1", USAGE, "--trace is for going up", "leave --down out"),
    ("plan --trace --schema-from database:no", REFUSED, "no database has id=no", "fleet list"),
    ("plan -o markdown --all", USAGE, "-o markdown goes without --all", "leave one of them out"),
    ("plan --var x=1", USAGE, "uses the variable 'x' of --var", "leave it out"),
    ("up --yes --var x=1", USAGE, "uses the variable 'x' of --var", "leave it out"),
    ("bundle register migrations --var x=1", USAGE, "the variable 'x'", "leave it out"),
    ("lint --var x=1", USAGE, "the variable 'x'", "leave it out"),
    ("test --var x=1", USAGE, "the variable 'x'", "leave it out"),
    ("adopt --dry-run --var x=1", USAGE, "the variable 'x'", "leave it out"),
    ("plan --folder filled --var reigon=1 --var region=b", USAGE, "'reigon'", "--var region=VALUE"),
    ("up --folder filled --var reigon=1 --yes", USAGE, "region is not declared", "--var region="),
    ("plan --var x=1 --var x=2", USAGE, "--var x is there twice", "say it once"),
    ("up --require-rehearsal --yes", REFUSED, "was never rehearsed", "run `ledger test`"),
    ("up --on-drift cry", USAGE, "cry", "'leave-out'"),
    ("events --stream nosuch", USAGE, "no stream begins with 'nosuch'", "rollout-ID"),
    ("events --follow -o json", USAGE, "--follow never ends", "say -o ndjson"),
    ("rollout list --limit 0", USAGE, "--limit", "1 or more"),
    ("fleet label t0 x=1 x=2", USAGE, "label 'x' is there twice", "say it once"),
    ("fleet label t0 -s half=h0 x=1", USAGE, "no place beside --select", "leave one of both out"),
    ("fleet repoint t0", USAGE, "say where it is now", "ledger fleet reinstate"),
    ("create x --recipe not-null", USAGE, "needs --table, --column", "for example: ledger create"),
]
LINES: list[Row] = [
    ("status extra", USAGE, "'extra' is surplus", "`-s id=extra`"),
    ("status t0 t1", USAGE, "'t0', 't1' are surplus", "'id in (t0,t1)'"),
    ("plan --fodler x", USAGE, "no option --fodler", "write --folder"),
    ("-o json status", USAGE, "no option -o", "write it behind `ledger status`"),
    ("fleet --limit 3 list", USAGE, "no option --limit", "behind `ledger fleet list`"),
    ("status --config x", USAGE, "no option --config", "before the command, behind `ledger`"),
    ("up -folder x", USAGE, "no option -folder", "write --folder, with two dashes"),
    ("up --waves", USAGE, "--waves needs a value", "write `--waves "),
    ("status --all=yes", USAGE, "--all takes no value", "write it alone"),
    ("status -o jsn", USAGE, "'jsn' is not one of", "write json"),
    ("up --when-spent rolback", USAGE, "'rolback' is not one of", "write rollback"),
    ("down --to 1", USAGE, "no option --to", "ledger down --help"),
    ("rollback", USAGE, "no command 'rollback'", "`ledger rollout rollback`"),
    ("migrate", USAGE, "no command 'migrate'", "`ledger up`"),
    ("stats", USAGE, "no command 'stats'", "`ledger status`"),
    ("rollout lst", USAGE, "no command 'lst'", "`ledger rollout list`"),
    ("db uo", USAGE, "no command 'uo'", "`ledger db up`"),
    ("-q", USAGE, "no command is there", "see `ledger --help`"),
    ("fleet show -q", USAGE, "lacks DATABASE", "`ledger fleet show acme`"),
    ("fact record t0", USAGE, "lacks FACT", "`ledger fact record acme backup`"),
    ("bundle register a b", USAGE, "takes only DIR", "leave it out"),
    ("agents -s a=b", USAGE, "no option -s", "ledger agents --help"),
    ("events --limit 0", USAGE, "'0' is too small", "see `ledger events --help`"),
    ("plan --waves 1,,rest", USAGE, "'' is neither a count", "`1,10%,rest`"),
    ("plan --waves rest,1", USAGE, "`rest` must be the last wave", "`1,10%,rest`"),
    ("plan --budget 101%", USAGE, "more than all databases", "like `2%`"),
    ("plan -s id=T0", REFUSED, "the nearest is t0", "ledger fleet list"),
    ("plan -s t0", REFUSED, "one is called so: write `id=t0`", "ledger fleet list"),
    ("plan -s '*'", REFUSED, "no database has the label '*'", "ledger fleet list"),
    ("plan --to 2026", REFUSED, "no migration '2026'", "ledger bundle show"),
    ("plan --to a", REFUSED, "no migration 'a' (the nearest is 1)", "ledger bundle show"),
    ("history 1h", REFUSED, "nothing is called '1h'", "`ledger history --since 1h`"),
    ("history '2 h ago'", REFUSED, "nothing is called '2 h ago'", "--since '2 h ago'` shows"),
    ("history yesterday", REFUSED, "nothing is called 'yesterday'", "--since yesterday`"),
    ("history tomorrow", REFUSED, "nothing is called 'tomorrow'", "ledger rollout list"),
    ("plan -s half=h0,half=h1", USAGE, "column 9: what stands before it says otherwise", " in ("),
    ("status -s 'half,!half'", USAGE, "otherwise of 'half'", "all of a selection must hold"),
    ("history --since 30", USAGE, "'30' is no moment", "write how long ago"),
    ("rollout status t0", REFUSED, "but a database is called so", "ledger rollout list"),
    ("fleet add n --url postgresql://u:pw@h/d", USAGE, "never stores a literal", "write env:NAME"),
]
"""What is no command line, and what is none by one letter."""
OWN_DATABASE: list[Row] = [
    (
        NOBODY,
        UNREACHABLE,
        "ledger at 127.0.0.1:1, cannot be reached: nobody listens",
        "config show",
    ),
    ("postgresql://ada@nosuch.invalid/x", USAGE, "nothing proves who answers", "verify-full"),
    ("postgresql://ada@127.0.0.1:abc/x", USAGE, "cannot be read", "user@host:5432"),
    ("postgresql://ada@127.0.0.1/x?sslrotcert=a", USAGE, "'sslrotcert'", "write sslrootcert"),
    ("postgresql://ada@127.0.0.1/x?sslmode=verify", USAGE, "sslmode", "verify-full"),
    ("postgresql://ada@127.0.0.1/x?sslmode", USAGE, "cannot be read", "user@host:5432"),
    ("postgresql:///x?host=/nosuch", UNREACHABLE, "the socket in /nosuch", "start the server"),
    (
        "postgresql://ada@127.0.0.1/x?sslmode=verify-full&sslrootcert=/nosuch.pem",
        UNREACHABLE,
        "sslrootcert",
        "/nosuch.pem",
    ),
    ("mysql://ada@127.0.0.1/x", USAGE, "cannot be read", "postgresql://"),
    ("", USAGE, "", "LEDGER_DATABASE_URL"),
]
TABLES = {
    "plans": PLANS,
    "fleet": FLEET,
    "record": RECORD,
    "typed": TYPED,
    "looked at": LOOKED_AT,
    "lines": LINES,
}
ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.fixture
def typed(
    fleet: Fleet, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CliRunner:
    """Where these commands are typed: a ledger with four databases, and some files."""
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "tab.yaml").write_text("databases:\n\t- id: x\n")
    (tmp_path / "no.toml").write_text("[rollout]\nwaves = 1,rest\n")
    (tmp_path / "kind.toml").write_text('[monitoring]\nport = "x"\n')
    (tmp_path / "table.toml").write_text("rollout = 5\n")
    (tmp_path / "bad.yaml").write_text("databases:\n  - id: x\n    hots: y\n")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_a.sql").write_text("-- +migrate Up\nCREATE TABLE a ();\n")
    (tmp_path / "filled").mkdir()
    filled = "-- +migrate Up\nCREATE TABLE ${region} ();\n"
    (tmp_path / "filled" / "1_a.sql").write_text(filled)
    monkeypatch.chdir(tmp_path)
    for name in [*environment, *WIDE]:
        monkeypatch.setenv(name, (environment | WIDE)[name])
    return CliRunner()


def wrong_in(typed: CliRunner, rows: list[Row]) -> list[str]:
    """What is not as the table says it, row by row."""
    found = []
    for line, code, said, remedy in rows:
        answer = typed.invoke(app, shlex.split(line))
        told = " ".join(answer.output.split())
        lacks = [part for part in (said, remedy) if part and part not in told]
        if answer.exit_code != code or lacks or not told or INTERNAL.search(told):
            found.append(f"{line}: {answer.exit_code}, lacks {lacks}: {told[-600:]}")
    return found


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_each_wrong_input_gets_a_sentence_with_what_to_do_and_records_nothing(
    typed: CliRunner, rows: list[Row]
) -> None:
    before = typed.invoke(app, ["events", "-o", "ndjson"]).output
    assert not (wrong := wrong_in(typed, rows)), "\n".join(wrong)
    assert typed.invoke(app, ["events", "-o", "ndjson"]).output == before


@pytest.mark.parametrize("command", ["status", "serve", "history"])
def test_each_wrong_address_of_the_ledger_is_told_with_what_is_wrong_in_it(
    typed: CliRunner, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    wrong = []
    for url, code, said, remedy in OWN_DATABASE:
        monkeypatch.setenv("LEDGER_DATABASE_URL", url)
        wrong += [f"{url}: {one}" for one in wrong_in(typed, [(command, code, said, remedy)])]
        assert "hunter2" not in typed.invoke(app, [command]).output
    assert not wrong, "\n".join(wrong)


def test_programs_get_each_error_as_one_object_on_stderr(typed: CliRunner) -> None:
    for line, code, *_ in ROWS:
        words = shlex.split(line)
        if code == USAGE or words[0] == "create":
            # What is no command line is told before a command is there to answer
            # (tests/unit/cli/test_streams.py).
            continue
        answer = typed.invoke(app, [*words, "-o", "json"])
        told = json.loads(answer.stderr.splitlines()[-1])
        assert (told["kind"], told["exit_code"]) == ("error", code), line
        assert answer.stdout == "", line


def test_the_table_is_long_and_speaks_of_every_noun() -> None:
    rows = [line for line, *_ in ROWS]
    assert len(rows) + len(OWN_DATABASE) >= 80
    nouns = {path.split()[1] for path in every_command() if path.startswith("ledger ")}
    quiet = {"version", "dev", "replay", "serve"}
    assert nouns - {word for line in rows for word in line.split()} <= quiet
