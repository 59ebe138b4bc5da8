"""Whether a folder and a journal are of one history; pure.

They are when anything that is applied is in the folder with the text that was applied, or may be. A
folder of which the journal has nothing is another application's, or the database is another one
than was meant: nothing of it is run, and nothing of the journal is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.errors import OtherHistory
from migrations.model.attempt import Mode
from migrations.model.folder_history import FolderHistory
from migrations.model.work import Work
from migrations.printable import escaped
from migrations.running.plan import applied_versions
from migrations.target.entries import GONE, RESOLVE, Entry, State

_SHOWN = 3
_ONE = "when its project names it: `[bundle]` with `name` in its ledger.toml"
_FLEET = "when it is registered with `ledger fleet add --history NAME`"


def refuse_other_history(work: Work, entries: Sequence[Entry]) -> None:
    """Raise OtherHistory for a folder that has nothing in common with what is applied here."""
    if work.folder is not None and work.mode in (Mode.UP, Mode.DOWN):
        accepted = frozenset(one.version for one in work.repairs)
        refuse_folder(work.folder, entries, accepted, in_fleet=bool(work.owner))


def refuse_folder(
    folder: FolderHistory,
    entries: Sequence[Entry],
    accepted: frozenset[str] = frozenset(),
    *,
    in_fleet: bool = False,
) -> None:
    """The same of a folder by itself; `accepted` are versions of which any text may be applied."""
    applied = applied_versions(entries)
    if not applied or any(_is_of(folder, entry, accepted) for entry in applied.values()):
        return
    known_as = name_in(entries)
    same_name = known_as == folder.name or not (known_as and folder.name)
    if same_name and applied.keys() <= folder.versions:
        # Every file of it was edited: that is told of the first one.
        return
    raise OtherHistory(_message(folder, sorted(applied), known_as) + (_FLEET if in_fleet else _ONE))


def refuse_second_journal(folder: FolderHistory, entries: Sequence[Entry]) -> None:
    """Raise OtherHistory for a folder whose history is in the journal that has no name already."""
    if is_of_one_history(folder, entries):
        raise OtherHistory(
            "this folder's history is in this database already, in the journal that goes by no "
            "name; register the database without --history, and bind it to the history with the "
            "label `history`"
        )


def is_of_one_history(folder: FolderHistory, entries: Sequence[Entry]) -> bool:
    """Whether something that is applied here is of this folder."""
    return any(_is_of(folder, entry) for entry in applied_versions(entries).values())


def name_in(entries: Sequence[Entry]) -> str:
    """What the folder was called that this journal began with; empty where nobody noted it."""
    return next((entry.note for entry in entries if entry.state is State.MET), "")


def _is_of(folder: FolderHistory, entry: Entry, accepted: frozenset[str] = frozenset()) -> bool:
    if entry.direction == GONE:
        return True
    said = entry.direction == RESOLVE or entry.migration in accepted
    return folder.has(entry.migration, None if said else entry.up_checksum)


def _message(folder: FolderHistory, applied: Sequence[str], known_as: str) -> str:
    more = f" and {len(applied) - _SHOWN:,} more" if len(applied) > _SHOWN else ""
    history = f"the history {escaped(known_as)}" if known_as else "a history"
    called = f"folder {escaped(folder.name)}" if folder.name else "folder"
    return (
        f"this database has {history} ({escaped(', '.join(applied[:_SHOWN]))}{more}), and the "
        f"{called} has nothing in common with it; check that this is the database that you mean; a "
        "second application in one database keeps a history of its own "
    )
