"""What one event changes in the read models, and how the changes of a batch are put together.

```
put     a whole row: it is inserted, or replaces the row with its key
ensure  a whole row, written only where the row with its key is in another state
change  some columns of a row; nothing happens where there is no such row
```

Merging a batch gives the same rows as applying its patches one by one, with fewer statements. A
patch never changes: what is merged is a new one, so patches may share their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from ledger.store.views.tables import ANSWERED_LOOK, ATTEMPT, PARTS, SPOKEN_HEAD, TABLES, Table


class PatchKind(Enum):
    """How a patch is applied."""

    PUT = "put"
    ENSURE = "ensure"
    CHANGE = "change"


PUT, CHANGE = PatchKind.PUT, PatchKind.CHANGE
"""Looked up once: an enum's member costs more than the comparison."""


class Patch(NamedTuple):
    """One row's change. `fills` are columns to set only where they are NULL (`change` only)."""

    table: Table
    kind: PatchKind
    key: tuple[Any, ...]
    sets: Mapping[str, Any]
    fills: Mapping[str, Any] | None = None


SPEAKING = frozenset({SPOKEN_HEAD, ANSWERED_LOOK})
"""Parts that change only while the command that ends their key is the row's."""
Layer = dict[tuple[Any, ...], Patch]
"""Merged patches by their keys."""


class Batch:
    """Patches by table, merged. The layers of a table are applied one after the other.

    More than one layer is needed only where a row has a guard: two patches whose commands differ
    cannot be merged without knowing the row that is there.
    """

    def __init__(self) -> None:
        self._layers: dict[Table, list[Layer]] = {table: [{}] for table in (*PARTS, *TABLES)}
        self._plain: dict[Table, Layer] = {
            table: layers[0] for table, layers in self._layers.items() if _is_plain(table)
        }
        self.named: list[tuple[str, int]] = []
        """(database, position) of the events that name a database."""
        self.unreadable: list[tuple[int, str, str]] = []
        """(position, type, why) of the events that cannot be read."""

    def add(self, patches: Iterable[Patch]) -> None:
        """Add the patches of one event; events come in the order of the log."""
        for patch in patches:
            layer = self._plain.get(patch.table)
            if layer is not None:
                row = layer.get(patch.key)
                if row is None or patch.kind is not CHANGE:
                    layer[patch.key] = patch
                else:
                    layer[patch.key] = _merged(row, patch)
            elif patch.table in PARTS:
                self._add_part(patch)
            else:
                _add_guarded(self._layers[patch.table], patch)

    def __len__(self) -> int:
        """How many rows there are to write."""
        return len(self.named) + sum(len(layer) for _, _, layer in self.layers())

    def ordered_position(self, command: UUID | None, before: int) -> int | None:
        """Where `command` was ordered before that position, if this batch knows."""
        order = self._plain[ATTEMPT].get((command,))
        position: int | None = order.sets.get("ordered_position") if order else None
        return position if position is not None and position < before else None

    def layers(self) -> Iterator[tuple[int, Table, Layer]]:
        """What to write, in the order to write it, and each layer's number in its table."""
        for table, layers in self._layers.items():
            for number, layer in enumerate(layers):
                if layer:
                    yield number, table, layer

    def _add_part(self, patch: Patch) -> None:
        """Merge into the row if this batch says that the condition holds, drop if it does not.

        If nothing here says so, the row that is there will. What comes later in the batch is right
        on top of that, and a fill that came before does not care: the value wins either way.
        """
        whole = PARTS[patch.table]
        key = patch.key[: len(whole.key)]
        row = self._plain[whole].get(key)
        column, wanted = _condition(patch)
        if row is None or column not in row.sets:
            layer = self._layers[patch.table][0]
            pending = layer.get(patch.key)
            layer[patch.key] = patch if pending is None else _merged(pending, patch)
        elif row.sets[column] == wanted:
            self._plain[whole][key] = _merged(row, patch)


def _is_plain(table: Table) -> bool:
    return table not in PARTS and not table.guard


def _condition(patch: Patch) -> tuple[str, Any]:
    """The column of the whole row that a part depends on, and the value it must have."""
    if patch.table in SPEAKING:
        return "command", patch.key[-1]
    return "finished_position", None


def _merged(row: Patch, change: Patch) -> Patch:
    """Both as one patch, which is of the kind and the table of `row`."""
    sets = {**row.sets, **change.sets}
    if not row.fills and not change.fills:
        return Patch(row.table, row.kind, row.key, sets)
    fills = {name: value for name, value in (row.fills or {}).items() if name not in sets}
    for name, value in (change.fills or {}).items():
        if row.kind is not CHANGE or name in sets:
            if sets.get(name) is None:
                sets[name] = value
        elif fills.get(name) is None:
            fills[name] = value
    return Patch(row.table, row.kind, row.key, sets, fills)


def _add_guarded(layers: list[Layer], patch: Patch) -> None:
    """Merge into the last layer that has the key if both would pass or fail together."""
    last = len(layers) - 1
    while last >= 0 and patch.key not in layers[last]:
        last -= 1
    if last >= 0:
        row = layers[last][patch.key]
        same_command = row.sets["command"] == patch.sets["command"]
        if same_command and row.kind is patch.kind is PatchKind.PUT:
            layers[last][patch.key] = patch
            return
    if last + 1 == len(layers):
        layers.append({})
    layers[last + 1][patch.key] = patch
