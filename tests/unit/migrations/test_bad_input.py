"""Whatever cannot be read gives one clear error: where it is, what is wrong, what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import LoadError
from migrations.formats.bundle import load_folder
from tests.support.bad_input import CORPUS, Case, write

ENOUGH = 60
"""Cases that the corpus must at least have."""


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_a_malformed_folder_gives_one_error_with_place_problem_and_remedy(
    case: Case, tmp_path: Path
) -> None:
    with pytest.raises(LoadError) as refused:
        load_folder(write(case, tmp_path), case.format)
    error = refused.value
    assert error.place.startswith(case.place)
    assert case.problem in error.problem
    assert case.remedy in error.remedy
    assert error.remedy
    assert str(error).count("\n") == 0


def test_the_corpus_names_every_case_once_and_is_large_enough() -> None:
    names = {case.name for case in CORPUS}
    assert len(names) == len(CORPUS) >= ENOUGH
