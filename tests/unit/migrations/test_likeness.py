"""Which word is offered in place of one that nobody knows."""

from __future__ import annotations

import pytest

from migrations.likeness import nearest

FLEET = [f"t{number:03}" for number in range(1, 60)]


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("t00", FLEET, "t001"),
        ("t05", FLEET, "t050"),
        ("T012", FLEET, "t012"),
        ("t0017", FLEET, "t001"),
        ("acm", ["bacm", "acme"], "acme"),
        ("gold", ["golden", "cold"], "golden"),
        ("nothing", FLEET, None),
        ("x", [], None),
    ],
)
def test_of_words_that_are_as_much_like_it_the_one_that_begins_so_is_offered(
    word: str, known: list[str], found: str | None
) -> None:
    assert nearest(word, known) == found
    assert nearest(word, reversed(known)) == found
