"""The states that SQL shows are those that the domain folds, whatever the order of the reports."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.domain.rollout import fold
from tests.integration.store.views.conftest import Ledger
from tests.support.histories import Story
from tests.support.possible import possible

CHOICE = st.integers(0, 11)
# Steering, orders, reports, decisions and looks; what of it could have happened is told.
MOVES = st.lists(
    st.tuples(st.sampled_from([4, 5, 7, 8, 9, 10, 11, 12]), CHOICE, CHOICE, CHOICE),
    min_size=3,
    max_size=40,
)
BEGINNING = [(0, 1, 1, 1), (0, 1, 1, 1), (3, 1, 1, 0)]
NAMES = count()


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES)
async def test_the_view_and_the_domain_agree_on_every_database(
    ledger: Ledger, moves: list[tuple[int, int, int, int]]
) -> None:
    story = Story(f"s{next(NAMES)}")
    told = list(story.tell([*BEGINNING, *moves]))
    (rollout,) = story.rollouts
    for stream, event in possible(rollout, told):
        await ledger.append(stream, event)
    await ledger.models.caught_up()

    state = fold(None, await ledger.history.rollout(rollout))
    rows = await ledger.models.rollout_databases(rollout)

    assert state is not None
    assert {row.database: row.state for row in rows} == {
        one.database: one.status.value for one in state.databases()
    }
