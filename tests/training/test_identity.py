"""When two runs are the same run."""

from pathlib import Path

import pytest

from moa.training.identity import check_same_run, differences, digest

RUN = {"data.path": "rex", "noun": "dog", "train.seed": 0, "router": "MLPRouter", "router.hidden": 64, "where.rank": None}
CHANGES = {  # to RUN: what differs
    "nothing": ({}, []),
    "a noun": ({"noun": "cat"}, ["noun"]),
    "a seed": ({"train.seed": 1}, ["train.seed"]),
    "null for a number": ({"where.rank": 32}, ["where.rank"]),
    "another class with other settings": ({"router": "ConstantRouter", "router.hidden": ..., "router.weight": 0.5}, ["router", "router.hidden", "router.weight"]),
    "the same path in other words": ({"data.path": "./a/../rex"}, []),
    "the same path from the root": ({"data.path": str(Path("rex").absolute())}, []),
    "no path at all": ({"noun": "dog\0"}, ["noun"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_differences(case: str) -> None:
    changes, expected = CHANGES[case]
    other = {name: value for name, value in (RUN | changes).items() if value is not ...}
    assert differences(RUN, other) == differences(other, RUN) == expected


def test_a_refusal_names_both_runs() -> None:
    other = RUN | {"noun": "cat", "data.path": "mia", "train.seed": 3, "where.rank": 4}
    del other["router.hidden"]
    check_same_run(Path("here"), RUN, dict(RUN))
    with pytest.raises(ValueError) as refused:
        check_same_run(Path("here"), RUN, other)
    assert str(refused.value).startswith(
        "here is of another run: it was trained with data.path=rex, noun=dog, router.hidden=64 and 2 more; "
        "the settings say data.path=mia, noun=cat, no router.hidden. Give"
    )


def test_a_digest_is_of_what_is_set_in_any_order() -> None:
    assert digest(RUN) == digest(dict(reversed(RUN.items()))) != digest(RUN | {"noun": "cat"})
