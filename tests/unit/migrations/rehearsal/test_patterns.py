"""Texts are made of a pattern: they match, they differ, and of what is not understood is none."""

from __future__ import annotations

import re

import pytest

from migrations.rehearsal.patterns import matching


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{2}[0-9]{4}$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^\d{3}-\d{4}$",
        "^(draft|sent|paid)$",
        "^#(?:[0-9a-f]{3}){1,2}$",
        "^a+b*c?$",
        r"^https?://\w+\.\w+/?.*$",
        r"^[-+]?\d+$",
        r"^[]a]x$",
        "",
    ],
)
def test_what_is_made_matches_whole(pattern: str) -> None:
    made = matching(pattern, 40)
    assert made
    assert len(made) == len(set(made))
    assert [one for one in made if re.fullmatch(pattern, one) is None] == []


def test_names_of_classes_are_understood() -> None:
    assert all(one.isupper() for one in matching("^[[:upper:]]{3}$", 10))


def test_a_pattern_with_many_texts_gives_many() -> None:
    assert len(matching("^[A-Z]{2}[0-9]{4}$", 100)) > 50


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", "[a", "*", "a{2", "a)", "[[:x"])
def test_of_what_is_not_understood_there_is_none(pattern: str) -> None:
    made = matching(pattern, 10)
    assert made == [] or pattern == "a{2"
