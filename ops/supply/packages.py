"""The packages of constraints.txt as they are installed here: version, licence, what each needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement

from ops.supply.constraints import FILE, normalised, parts, pins

LICENCES = get_spdx_licensing()

SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License": "ISC",
    "PSFL": "PSF-2.0",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""How packages without a licence expression name theirs. "BSD License" alone does not say which."""


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package. `licence` is an SPDX expression, None where its metadata name none."""

    name: str
    version: str
    part: str
    licence: str | None
    needs: frozenset[str]


class NotAsListed(Exception):
    """What is installed is not what constraints.txt names."""


def installed_packages() -> list[Package]:
    """Return what the list names for this platform and Python. Raises NotAsListed."""
    return [*_packages(FILE.read_text(encoding="utf-8"))]


def _packages(text: str) -> Iterator[Package]:
    listed = pins(text)
    for part, names in parts(text).items():
        for name in sorted(names):
            for line in re.findall(r"(?m)^\S[^\\\n]*", listed[name]):
                pin = Requirement(line.strip())
                if pin.marker is None or pin.marker.evaluate():
                    yield _package(pin, part)


def _package(pin: Requirement, part: str) -> Package:
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        raise NotAsListed(f"{pin} is not installed: run `make venv`") from None
    if found.version not in pin.specifier:
        raise NotAsListed(f"{pin.name} {found.version} is installed, not {pin}: run `make venv`")
    return Package(normalised(pin.name), found.version, part, licence_of(found), needs_of(found))


def needs_of(found: Distribution, extra: str = "") -> frozenset[str]:
    """Return the names of what a package needs on this platform, with one of its extras."""
    needed = [Requirement(each) for each in found.requires or []]
    return frozenset(
        normalised(one.name)
        for one in needed
        if one.marker is None or one.marker.evaluate({"extra": extra})
    )


def licence_of(found: Distribution) -> str | None:
    """Return the licence that a package's metadata name, None if they name none that is known."""
    told = found.metadata
    classifiers = [one for one in told.get_all("Classifier") or [] if one.startswith("License ::")]
    fields = [told[name] for name in ("License-Expression", "License") if name in told]
    for words in (*fields, *classifiers):
        if licence := _read(words.strip()):
            return licence
    return None


def _read(words: str) -> str | None:
    try:
        return str(LICENCES.parse(SPELLINGS.get(words, words), validate=True, strict=True))
    except (ExpressionError, TypeError):
        return None
