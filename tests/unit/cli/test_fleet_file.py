"""Where databases are, as a file or as options."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ledger.cli.fleet.entries import FleetFileEntry
from ledger.cli.fleet.file import connection_of, labels_of, read_fleet
from ledger.cli.fleet.options import EXAMPLE_FILE
from ledger.cli.fleet.yaml_items import read_items
from ledger.contracts.registry import ServerAddress, TargetName
from ledger.domain.refusals import LiteralPassword
from ledger.errors import FleetFileError, WrongArgument


def read(tmp_path: Path, text: str) -> dict[str, FleetFileEntry]:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    return {entry.database: entry for entry in read_fleet(file, "default")}


def test_the_example_in_the_help_can_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(EXAMPLE_FILE)
    acme, bolt = read_fleet(file, "default")
    assert (acme.database, acme.pool, acme.labels) == ("acme", "default", {"tier": "gold"})
    assert acme.connection.password == "file:secrets/{database}"
    assert acme.connection.user == "mig_acme"
    assert (bolt.pool, bolt.connection.user, bolt.connection.password) == (
        "eu",
        "mig_bolt",
        "env:BOLT",
    )


def test_a_pool_gives_each_database_a_login_of_its_own(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        'pools: {default: {host: a, user: "mig_{database}", role: "{database}_owner"}}\n'
        "databases: [{database: acme}, {database: bolt, user: other}]\n",
    )
    logins = [(one.connection.user, one.connection.role) for one in found.values()]
    assert logins == [("mig_acme", "acme_owner"), ("other", "bolt_owner")]
    given = connection_of("acme", None, {"host": "a", "user": "mig_{database}"})
    assert given.user == "mig_acme"


def test_a_login_for_several_databases_is_accepted_by_a_label(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "pools: {default: {host: a, user: x, shared_login: accepted, labels: {tier: free}}}\n"
        "databases: [{database: acme}]\n",
    )
    assert found["acme"].labels == {"tier": "free", "shared_login": "accepted"}


def test_what_a_database_says_wins_over_its_pool(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "pools: {default: {host: a, user: x, port: 6000, labels: {area: eu, tier: free}}}\n"
        "databases: [{database: acme, host: b, labels: {tier: gold}}]\n"
    )
    (acme,) = read_fleet(file, "default")
    assert acme.connection.target == TargetName(ServerAddress("b", 6000), "acme")
    assert acme.labels == {"area": "eu", "tier": "gold"}


@pytest.mark.parametrize("word", ["schema", "schema_name"])
def test_a_target_is_a_schema_of_a_database_on_a_server(tmp_path: Path, word: str) -> None:
    """`schema_name` is what the key was called."""
    file = (
        "pools: {default: {host: a, user: x, schema: shop}}\n"
        "databases: [{database: acme, dbname: saas}, {database: bolt, dbname: saas, schema: bolt}]"
    )
    found = read(tmp_path, file.replace("schema:", f"{word}:"))
    targets = [one.connection.target for one in found.values()]
    assert targets == [TargetName(ServerAddress("a"), "saas", name) for name in ("shop", "bolt")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "databases: [{database: acme, schema: a, schema_name: b}]",
            "`schema_name` is what `schema` was",
        ),
        ("databases:\n- {database: a, host: }}", r"line 2 is not YAML: "),
        ("databases: [", r"line \d+ is not YAML"),
        (
            "databases: [{database: acme, hots: a}]",
            "line 1: `hots` is not a field",
        ),
        ("- acme", "at the whole file"),
        ("databases: [{database: acme, user: x}]", "database acme: the host is missing"),
        ("databases: [{database: acme, host: a}]", "database acme: the user is missing"),
        ("databases: [{database: acme, host: a, user: x, shared_login: yes}]", "shared_login"),
        ("databases: [{database: acme, host: a, user: 'x_{tenant}'}]", r"user holds \{tenant\}"),
        (
            "databases: [{database: acme, host: a, user: x, port: many}]",
            "`port` is no number",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(FleetFileError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match=r"fleet\.yaml cannot be read"):
        read_fleet(tmp_path / "fleet.yaml", "default")


def test_a_wrong_value_is_not_repeated_because_it_may_be_a_secret(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError) as refused:
        read(tmp_path, "databases: [{database: acme, host: a, user: x, port: hunter2}]")
    assert "hunter2" not in str(refused.value)


def test_an_address_says_everything_but_the_password() -> None:
    url = "postgresql://migrator@db1:6432/shop?sslmode=require&role=owner"
    connection = connection_of("acme", url, {"password": "env:ACME"})
    assert connection.target == TargetName(ServerAddress("db1", 6432), "shop")
    assert (connection.user, connection.sslmode, connection.role) == (
        "migrator",
        "require",
        "owner",
    )
    assert connection.password == "env:ACME"


def test_options_win_over_the_address() -> None:
    connection = connection_of("acme", "postgresql://a@db1/shop", {"host": "db2"})
    assert (connection.target.server.host, connection.user) == ("db2", "a")


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(LiteralPassword) as refused:
        connection_of("acme", "postgresql://a:hunter2@db1/shop", {})
    assert "hunter2" not in str(refused.value)
    assert "env:NAME" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["db1/shop", "mysql://a@db1/shop", "postgresql://a@db1:many/x", "postgresql:///x"]
)
def test_what_is_no_address_is_refused_with_its_form(url: str) -> None:
    with pytest.raises(WrongArgument, match="postgresql://user@host"):
        connection_of("acme", url, {})


def test_a_parameter_that_the_registry_does_not_keep_is_refused() -> None:
    with pytest.raises(WrongArgument, match="may not carry options"):
        connection_of("acme", "postgresql://a@db1/x?options=-csearch_path=x", {})


def test_labels_are_words_with_an_equals_sign() -> None:
    assert labels_of(["tier=gold", "url=a=b"]) == {"tier": "gold", "url": "a=b"}
    for wrong in ("tier", "=gold"):
        with pytest.raises(WrongArgument, match="NAME=VALUE"):
            labels_of([wrong])


def test_databases_come_one_by_one_and_before_the_end_of_the_file_is_read() -> None:
    taken: list[object] = []
    text = "pools: {p: {host: h}}\ndatabases:\n- {database: a}\n- {database: b}\nbroken: [\n"
    with pytest.raises(yaml.YAMLError):
        read_items(text, "databases", taken.append, lambda key, value: None)
    assert taken == [{"database": "a"}, {"database": "b"}]


@pytest.mark.parametrize(
    ("text", "databases"),
    [
        ("databases: []\n", []),
        ("databases: [{database: a, host: h, user: u}]\npools: {default: {port: 7}}\n", ["a"]),
        (
            "pools: {default: &p {host: h, user: u}}\n"
            "databases: [{<<: *p, database: a}, {<<: *p, database: b}]\n",
            ["a", "b"],
        ),
    ],
)
def test_the_parts_of_a_file_come_in_any_order_with_anchors(
    tmp_path: Path, text: str, databases: list[str]
) -> None:
    assert list(read(tmp_path, text)) == databases


@pytest.mark.parametrize("text", ["", "databases: []\n---\ndatabases: []\n", "databases: *none\n"])
def test_what_is_no_single_document_of_parts_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FleetFileError, match=r"fleet\.yaml"):
        read(tmp_path, text)


FAULTY = """\
pool: {}
pools:
  default: {user: "mig_{database}", hots: db1}
  eu: {host: db2.internal, user: m, password: hunter2}
databases:
- {database: acme, host: db1}
- {database: bolt, host: db1, labels: {tier: 3, "no space": x}, port: "70000"}
- {database: acme, host: db3}
- {database: cyan, host: DB1., dbname: acme}
- {database: dora, pool: ue}
- {database: echo, pool: eu}
- {database: fern, pool: eu, password: "env:FERN"}
- {host: db1}
- {database: 12, host: db1}
- gina
- {database: hugo, host: db1, user: [a], sslmode: sure, host: db2}
- {database: ivan, host: "", password: hunter2}
"""


def test_all_faults_of_a_file_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError) as refused:
        read(tmp_path, FAULTY)
    said = str(refused.value)
    _, *lines = said.splitlines()
    assert [line.strip()[:58] for line in lines] == [
        "line 1: `pool` is not a part of the file; the nearest is `",
        "line 3: `hots` is not a field of a pool; the nearest is `h",
        "line 4: pool eu: password must be a reference, because the",
        "line 7: database bolt: label 'no space' must be 1 to 63 le",
        "line 7: database bolt: port is 70000; write one from 1 to ",
        "line 7: label `tier` is a number; write its value in quote",
        "line 8: database acme stands at line 6 already; remove one",
        "line 9: database cyan is where acme (line 6) is, DB1.:5432",
        "line 10: database dora: pool ue is not under `pools` (the ",
        "line 13: a database has no id; write one as `database: acm",
        "line 14: `database` is a number; write a text, in quotes i",
        "line 15: a database is described by fields, like {database",
        "line 16: `host` stands twice in one place; remove one of t",
        "line 16: `user` is a list; write a text, in quotes if it l",
        "line 16: database hugo: sslmode is 'sure'; write one of al",
        "line 17: database ivan: host is empty; write a host name o",
        "line 17: database ivan: password must be a reference, beca",
    ]
    assert "hunter2" not in said


def test_faults_before_a_line_that_is_no_yaml_are_named_with_it(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError) as refused:
        read(tmp_path, "databases:\n- {database: a, hots: b}\n- {database: [\n")
    first, second = str(refused.value).splitlines()[1:]
    assert "line 2: `hots`" in first
    assert "is not YAML" in second


def test_a_file_full_of_faults_names_the_first_hundred(tmp_path: Path) -> None:
    entries = "".join(f"- {{database: d{number}}}\n" for number in range(120))
    with pytest.raises(FleetFileError, match="and 140 more") as refused:
        read(tmp_path, f"databases:\n{entries}")
    assert len(str(refused.value).splitlines()) == 102


@pytest.mark.parametrize(
    "text",
    [
        "databases:\n- {database: 2026-13-45, host: h, user: u}\n",
        "databases:\n- {database: !!int many, host: h, user: u}\n",
        "databases:\n- {database: !secret hunter2, host: h, user: u}\n",
        "databases:\n- {database: a, labels: " + "[" * 3000 + "\n",
        "databases:\n- {database: a, ? [b] : c, host: h, user: u}\n",
        "databases: 7\n",
        "databases: {a: b}\n",
        "pools: 3\ndatabases: []\n",
        "pools: {eu: 3}\ndatabases: []\n",
        "databases:\n- {database: a, host: h, user: u, password: 'env:'}\n",
        "databases:\n- {database: a, host: h, user: u, password: 'vault:hunter2'}\n",
        "databases:\n- {database: a, host: h, user: u, password: 4711}\n",
        "databases:\n- {database: a, host: h, user: u, password: [hunter2]}\n",
        "databases:\n"
        "- {database: a, dbname: x, user: u, host: 'postgresql://u:hunter2@h/x'}\n"
        "- {database: b, dbname: x, user: u, host: 'postgresql://u:hunter2@h/x'}\n",
        "databases:\n- {database: a, host: h, user: u, labels: {status: fine}}\n",
        "databases:\n- {database: a, host: h, user: u, port: true}\n",
        "databases:\n- {database: a, host: h, user: u, port: 0}\n",
        "databases:\n- {database: a, host: h, user: u, shared_login: [accepted]}\n",
        "databases:\n- \x07\n",
        "databases:\n- {database: a, host: h\tuser: u}\n",
    ],
)
def test_whatever_stands_in_a_file_is_answered_in_its_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(FleetFileError, match=r"fleet\.yaml") as refused:
        read(tmp_path, text)
    said = str(refused.value)
    assert not any(word in said for word in ("hunter2", "4711", "Placed", "Error", "pydantic"))


@pytest.mark.parametrize("text", ["databases: &a [*a]\n", "databases: &a\n- {labels: *a}\n"])
def test_a_part_within_itself_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FleetFileError, match=r"fleet\.yaml"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "written",
    [
        "[tenant_a, extensions, public]",
        '"tenant_a,extensions,public"',
        '"tenant_a, extensions"',
    ],
)
def test_several_schemas_are_the_targets_own_and_those_where_names_are_looked_up(
    tmp_path: Path, written: str
) -> None:
    text = f"databases: [{{database: acme, host: a, user: x, schema: {written}}}]"
    connection = read(tmp_path, text)["acme"].connection
    assert connection.target.schema == "tenant_a"
    assert connection.further_schemas in (("extensions", "public"), ("extensions",))


def test_an_address_or_an_option_may_name_several_schemas() -> None:
    url = "postgresql://a@db1/shop?schema=tenant_a,extensions&history=shop"
    connection = connection_of("acme", url, {})
    assert (connection.target.schema, connection.target.history) == ("tenant_a", "shop")
    assert connection.further_schemas == ("extensions",)
    again = connection_of("acme", url, {"schema": '"a, b",public'})
    assert (again.target.schema, again.further_schemas) == ("a, b", ("public",))
    assert connection_of("acme", url, {"schema": "alone"}).further_schemas == ()


@pytest.mark.parametrize("written", ["a,,b", ",public", "a,"])
def test_a_list_of_schemas_that_lacks_a_name_is_refused(written: str) -> None:
    with pytest.raises(WrongArgument, match="lacks a name"):
        connection_of("acme", "postgresql://a@db1/shop", {"schema": written})


@pytest.mark.parametrize(
    "value",
    [
        "!!timestamp hunter2",
        "!!timestamp ''",
        "!!int ''",
        "!!float ''",
        "!!float 1:" + "9" * 50 + ":9e999",
        "!!bool hunter2",
        "!!binary hunter2",
        "!!set hunter2",
        "!!omap hunter2",
        "!hunter2 x",
        "!it's\"hunter2 x",
        "*hunter2",
        "1:59:59:59",
        "1" + ":59" * 20_000,
        "-1",
        "9" * 90,
        "9" * 5_000,
        "0x" + "f" * 5_000,
        "1" * 5_000 + ".5",
        "-.inf",
    ],
)
@pytest.mark.parametrize("field", ["port", "password", "database", "labels"])
def test_a_value_of_a_kind_that_it_is_not_is_a_fault_of_its_line(
    tmp_path: Path, field: str, value: str
) -> None:
    fields = {"database": "a", "host": "h", "user": "u"} | {field: value}
    written = "".join(f"  {name}: {one}\n" for name, one in fields.items())
    with pytest.raises(FleetFileError, match=r"line \d+") as refused:
        read(tmp_path, f"databases:\n-\n{written}")
    said = str(refused.value)
    assert not any(word in said for word in ("hunter2", "Error", "NoneType", "Exceeds"))
    assert len(said) < 600


BOMBS = {
    "lists": ("[x, x]", "[{}]"),
    "mappings": ("{k: 1}", "{{a: [{}]}}"),
    "merged": ("{k: 1}", "{{<<: [{}]}}"),
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("where", ["pools: *a5\ndatabases: []\n", "databases:\n- {labels: *a5}\n"])
def test_aliases_of_aliases_are_refused_before_they_are_made(
    tmp_path: Path, kind: str, where: str
) -> None:
    """All of it would be forty to the power of five."""
    first, again = BOMBS[kind]
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {again.format(', '.join([f'*a{n - 1}'] * 40))}" for n in range(1, 6)]
    with pytest.raises(FleetFileError, match=r"aliases repeat more|too many parts"):
        read(tmp_path, "\n".join(lines) + f"\n{where}")


def test_as_many_keys_as_merges_are_refused_before_they_are_made(tmp_path: Path) -> None:
    keys = ", ".join(f"k{number}: 1" for number in range(3_000))
    text = f"a: &a {{{keys}}}\nb: {{<<: [{', '.join(['*a'] * 3_000)}]}}\ndatabases: []\n"
    with pytest.raises(FleetFileError, match="line 2 is not YAML: aliases repeat more"):
        read(tmp_path, text)


def test_what_is_shared_by_many_databases_is_no_bomb(tmp_path: Path) -> None:
    labels = ", ".join(f"l{number}: x" for number in range(30))
    entries = "".join(f"- {{<<: *d, database: d{number}}}\n" for number in range(2_000))
    text = f"pools: {{default: &d {{host: h, user: u, labels: {{{labels}}}}}}}\ndatabases:\n"
    found = read(tmp_path, text + entries)
    assert len(found) == 2_000
    assert all(len(one.labels) == 30 for one in found.values())


@pytest.mark.parametrize(
    "written", ["migration_ledger", '"migration_ledger"', "a,migration_ledger"]
)
def test_our_own_schema_is_no_target_and_no_place_to_look_names_up(
    tmp_path: Path, written: str
) -> None:
    with pytest.raises(WrongArgument, match="where the journal stands"):
        connection_of("acme", "postgresql://a@db1/shop", {"schema": written})
    text = f"databases:\n- {{database: acme, host: a, user: x, schema: '{written}'}}\n"
    with pytest.raises(FleetFileError, match=r"line 2: .*where the journal stands"):
        read(tmp_path, text)
