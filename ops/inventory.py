"""Counts what the program is made of, at commits side by side.

    python -m ops.inventory [COMMIT ...]

Without a commit it counts the files as they lie here; a word for that among commits is `.`. Modules
of the three packages are counted, migrations that are examples left out. A *room* is a folder; the
private functions are those whose name begins with one underscore, and one counts as used once when
its name stands in a single other place of its module. A *neighbour* is a module or folder directly
inside a package, an *arrow* a pair of neighbours of which one imports the other. What comes of it
stands in ops/decisions/0015-rooms-and-names.md.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ledger", "agents", "migrations")
WALLED = ("ledger", "ledger.cli", "ledger.store", "migrations")
EXAMPLES = "migrations/examples/"
HERE = "."
Texts = Mapping[str, str]
"""Modules by their path."""


@dataclass(slots=True)
class Counted:
    """What was found in all modules of one commit."""

    modules: list[PurePosixPath] = field(default_factory=list)
    lines: int = 0
    classes: list[str] = field(default_factory=list)
    names: int = 0
    functions: int = 0
    once: int = 0
    named: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: str, text: str) -> None:
        """One more module."""
        tree = ast.parse(text)
        self.modules.append(PurePosixPath(path))
        self.lines += text.count("\n")
        public = [name for name in _top_level(tree) if not name.startswith("_")]
        self.names += len(public)
        self.named[_module(path)] = set(_imported(tree))
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        self.classes += [name for name in classes if not name.startswith("_")]
        private, used = list[str](), Counter[str]()
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.functions += 1
                    if name.startswith("_") and not name.startswith("__"):
                        private.append(name)
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    used[name] += 1
                case _:
                    pass
        self.once += sum(used[name] == 1 for name in private)

    def table(self) -> dict[str, str]:
        """Each row of the table and its figure."""
        named = [path for path in self.modules if path.stem != "__init__"]
        stems = Counter(path.stem for path in named)
        rooms = Counter(path.parent for path in named)
        several = sum(count > 1 for count in stems.values())
        trailing = sum(path.stem.endswith("ing") for path in named)
        twins = sum(times > 1 for times in Counter(self.classes).values())
        return {
            "modules": f"{len(self.modules):,}",
            "lines": f"{self.lines:,}",
            "public classes": f"{len(self.classes):,}",
            "public names": f"{self.names:,}",
            "names of public classes with two meanings or more": f"{twins:,}",
            "names of modules that end in -ing": f"{trailing}",
            "names of modules that stand in two rooms or more": f"{several}",
            "most modules in one folder": f"{max(rooms.values())}",
            "private functions used once, of all": f"{self.once:,} of {self.functions:,}",
            "all imports between our modules": f"{len(self.imports()):,}",
            **{f"`{package}`: neighbours, arrows": self.walls(package) for package in WALLED},
        }

    def imports(self) -> set[tuple[str, str]]:
        """Who imports whom; what is not a module of ours is a name in the one above it."""
        found = set()
        for module, names in self.named.items():
            for name in names:
                whole = name if name in self.named else name.rpartition(".")[0]
                if whole in self.named and whole != module:
                    found.add((module, whole))
        return found

    def walls(self, package: str) -> str:
        """What stands directly in a package, and how many pairs of it have an import."""
        depth = package.count(".") + 2
        inside = f"{package}."

        def child(module: str) -> str:
            return ".".join(module.split(".")[:depth])

        neighbours = {child(module) for module in self.named if module.startswith(inside)}
        arrows = {
            (child(one), child(other))
            for one, other in self.imports()
            if one.startswith(inside) and other.startswith(inside)
        }
        return f"{len(neighbours)}, {sum(one != other for one, other in arrows)}"


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(tree: ast.Module) -> Iterator[str]:
    """Everything that is imported somewhere in a module, a name with its module before it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
            case _:
                pass


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def texts(commit: str) -> Texts:
    """Every module at that commit. Raises SystemExit when there is no such commit."""
    if commit == HERE:
        paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
        found = {str(path.relative_to(ROOT).as_posix()): path.read_text("utf-8") for path in paths}
    else:
        command = ["git", "-C", str(ROOT), "archive", commit, *PACKAGES]
        ended = subprocess.run(command, capture_output=True, check=False)
        if ended.returncode:
            raise SystemExit(f"{commit} cannot be read: {ended.stderr.decode().strip()}")
        found = dict(_archived(ended.stdout))
    return {path: text for path, text in found.items() if not path.startswith(EXAMPLES)}


def _archived(archive: bytes) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.name.endswith(".py") else None
            if content:
                yield member.name, content.read().decode()


def counted(found: Texts) -> Counted:
    """Everything that there is to count."""
    counts = Counted()
    for path, text in found.items():
        counts.add(path, text)
    return counts


def main() -> None:
    """Count, and print a table in markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="default: the files here")
    commits = parser.parse_args().commits or [HERE]
    tables = [counted(texts(commit)).table() for commit in commits]
    print("| | " + " | ".join("now" if commit == HERE else commit for commit in commits) + " |")
    print("|---" * (len(commits) + 1) + "|")
    for row in tables[0]:
        print(f"| {row} | " + " | ".join(table[row] for table in tables) + " |")


if __name__ == "__main__":
    main()
