"""`make sbom`: what the program consists of, as CycloneDX JSON, for this platform and this Python.

What it needs is required; what the extra `embedded` brings, Apache Kafka's jars among it, is
optional. What only builds and tests it is left out. The same versions with the same
SOURCE_DATE_EPOCH (seconds since 1970, else the present) give the same bytes. The hashes of packages
are in constraints.txt: each has many files, and the platform decides which of them is installed.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import distribution
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from ledger.embedded.jars import pinned
from ops.supply.constraints import ROOT
from ops.supply.jars import licence_of_jar
from ops.supply.packages import NotAsListed, Package, installed_packages, needs_of

NAME = "migration-ledger"
FILE = ROOT / "build" / f"{NAME}.cdx.json"
SCOPES = {
    "# The program": ComponentScope.REQUIRED,
    "# Embedded servers": ComponentScope.OPTIONAL,
}


def document(packages: list[Package], made_at: datetime) -> str:
    """Return the bill of materials. Raises NotAsListed; ValueError if its own schema refuses it."""
    components = {one.name: _component(one) for one in packages if one.part in SCOPES}
    jars = [_jar(name, digest) for name, digest in pinned().items()]
    itself = distribution(NAME)
    whole = Component(
        name=NAME,
        version=itself.version,
        type=ComponentType.APPLICATION,
        bom_ref=f"{NAME}@{itself.version}",
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
    )
    bom = Bom(components=[*components.values(), *jars])
    bom.metadata.component = whole
    bom.metadata.timestamp = made_at
    direct = needs_of(itself) | needs_of(itself, "embedded")
    if missing := sorted(direct - {*components}):
        raise NotAsListed(f"{NAME} needs {', '.join(missing)}: run `make constraints`, `make venv`")
    bom.register_dependency(whole, [components[name] for name in sorted(direct)] + jars)
    for one in packages:
        if one.name in components:
            needed = [components[name] for name in sorted(one.needs) if name in components]
            bom.register_dependency(components[one.name], needed)
    versions = " ".join(sorted(f"{one.name} {one.version}" for one in components.values()))
    bom.serial_number = uuid5(
        NAMESPACE_URL, f"{whole.bom_ref} {versions} {sorted(pinned().items())}"
    )
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not CycloneDX 1.6: {wrong.data.message}")
    return text + "\n"


def _component(package: Package) -> Component:
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType("library"),
        bom_ref=f"{package.name}@{package.version}",
        scope=SCOPES[package.part],
        purl=PackageURL("pypi", name=package.name, version=package.version),
        licenses=[LicenseExpression(package.licence)] if package.licence else [],
    )


def _jar(name: str, digest: str) -> Component:
    licence = licence_of_jar(name)
    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref=name,
        scope=ComponentScope.OPTIONAL,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[LicenseExpression(licence)] if licence else [],
    )


def main() -> None:
    """Write the bill of materials below `build`, and say where."""
    made_at = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())), UTC)
    try:
        text = document(installed_packages(), made_at)
    except NotAsListed as error:
        sys.exit(str(error))
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text, encoding="utf-8")
    print(FILE.relative_to(ROOT))


if __name__ == "__main__":
    main()
