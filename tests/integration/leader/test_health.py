"""A leader without its database: it lives, says that it is not ready, and why."""

from __future__ import annotations

from tests.support.asked import pages
from tests.support.black_hole import before
from tests.support.house import House, found


async def test_a_leader_whose_database_does_not_answer_lives_and_is_not_ready(
    house: House,
) -> None:
    async with before(house.url) as hole:
        url = hole.instead_of(house.url)
        async with house.leading(url=url) as leading, pages(leading.leader.probes()) as asked:

            async def is_ready() -> bool | None:
                return not await asked.unready() or None

            await found(is_ready, "it is ready")
            hole.swallow()

            async def is_unready() -> dict[str, str] | None:
                return await asked.unready() or None

            why = await found(is_unready, "it is not ready")
            assert why.keys() == {"leadership"}
            assert why["leadership"].startswith("the ledger's database has not answered for")
            assert await asked.status("/healthz") == 200
            hole.let_through()
