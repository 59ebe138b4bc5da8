"""`make constraints`: every version that is installed, with the SHA-256 of each of its files.

The file stands in order of need: what stands above a heading needs nothing of what stands below it,
so that pip can be given the file up to there: the first part for an image, three for the demo.

Versions stay as they are unless an upgrade is asked for, or pyproject.toml no longer allows them.
The hashes are those that the package index gives: of the wheels for every platform and Python, and
of the sources. No address is written.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "constraints.txt"

HEADER = """\
# Every version that is installed, with the SHA-256 of each of its files: by `make constraints`.
# What stands above a heading needs nothing of what stands below it.
"""

PARTS = {
    "# The program": (),
    "# To build it": (),
    "# Embedded servers": ("embedded",),
    "# Development": ("embedded", "dev"),
}
"""The headings, and the extras that are installed with everything up to the end of each part."""

BUILDING = "# To build it"
"""From this part on the build's own requirements are among what is installed."""

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==")


def pins(text: str) -> dict[str, str]:
    """Return the lines of each package, its version and hashes, by its normalised name."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if pin := PIN.match(line):
            name = normalised(pin["name"])
        if line and not line.startswith("#"):
            # Twice the same name is another version for another Python or platform.
            found[name] = found.get(name, "") + line + "\n"
    return found


def parts(text: str) -> dict[str, set[str]]:
    """Return the names of the packages under each heading, in order."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line in PARTS:
            found[line] = set()
        elif (pin := PIN.match(line)) and found:
            found[list(found)[-1]].add(normalised(pin["name"]))
    return found


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def composed(before: str, upgrades: Sequence[str], everything: bool) -> str:
    """Return the file anew, from the one before and the names of packages to upgrade.

    Raises SystemExit with the resolver's own words where pyproject.toml cannot be fulfilled.
    """
    upgraded = ["--upgrade"] if everything else [f"--upgrade-package={each}" for each in upgrades]
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "chosen.txt"
        chosen.write_text(before, encoding="utf-8")
        whole = _resolved(["embedded", "dev"], True, chosen, ["--generate-hashes", *upgraded])
        found = pins(whole)
        text, written = HEADER, set[str]()
        for heading, extras in PARTS.items():
            building = list(PARTS).index(heading) >= list(PARTS).index(BUILDING)
            needed = pins(_resolved(extras, building, chosen, []))
            text += "".join(
                ["\n", heading, "\n", *(found[one] for one in sorted({*needed} - written))]
            )
            written |= {*needed}
    return text


def _resolved(extras: Sequence[str], building: bool, chosen: Path, options: list[str]) -> str:
    """Resolve for every platform and Python that we support; `chosen` is read and rewritten."""
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--no-config",
            "--universal",
            "--python-version",
            "3.11",
            "--no-annotate",
            "--no-header",
            "--output-file",
            str(chosen),
            *options,
            *(f"--extra={each}" for each in extras),
            "pyproject.toml",
            *(["-"] if building else []),
        ],
        input="\n".join(builds["requires"]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        sys.exit(answer.stderr)
    return chosen.read_text(encoding="utf-8")


def main() -> None:
    """Write constraints.txt anew, and say which versions changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", nargs="*", metavar="NAME", help="without a name: all of them")
    asked = parser.parse_args().upgrade
    before = FILE.read_text(encoding="utf-8")
    after = composed(before, asked or [], asked == [])
    FILE.write_text(after, encoding="utf-8")
    old, new = ({n: line.split()[0] for n, line in pins(t).items()} for t in (before, after))
    for name in sorted({*old} | {*new}):
        if old.get(name) != new.get(name):
            print(f"{old.get(name, name + ' (not there)')} -> {new.get(name, 'not needed')}")


if __name__ == "__main__":
    main()
