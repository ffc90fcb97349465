"""Two people in one picture: is each identity in its own person, or swapped, doubled, missing?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moa.evaluation.identity import likeness
from moa.evaluation.reader import Reading, Sighting

SEEN = ("first", "second", "neither", "nobody")  # columns of the confusion matrix


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """What became of two subjects in one picture. `own`: two people, each more like a different one of the two, and in the clothes that
    the text gives it. `swapped`: both there, in one another's clothes. `duplicate`: one identity twice or a third person. `missing`:
    fewer than two people. `worst`: the lesser likeness of the two, 0 if one is missing. `seen[i]`: whom subject i's clothes are on."""

    own: bool
    swapped: bool
    duplicate: bool
    missing: bool
    worst: float
    seen: tuple[str, str]


def judge_pair(reading: Reading, subjects: Sequence[Mapping[str, str]]) -> PairVerdict:
    """The verdict on a picture that should show two people (their labels), whom shirts of different colours tell apart in the text."""
    people = reading.of_kind("person")
    shown = people[:2]
    like = np.array([[likeness(person, labels) for labels in subjects] for person in shown]).reshape(-1, 2)
    who = [_who(row) for row in like]
    both = sorted(who) == ["first", "second"]
    place = _dressed(shown, subjects)
    seen = tuple("nobody" if i is None else who[i] for i in place)
    swapped = both and seen == ("second", "first")
    twice = len(who) == 2 and who[0] == who[1] != "neither"
    order = (0, 1) if both and who[0] == "first" else (1, 0)
    worst = min(like[order[0], 0], like[order[1], 1]) if both else float(_best_worst(like))
    return PairVerdict(
        own=both and len(people) == 2 and not swapped, swapped=swapped, duplicate=twice or len(people) > 2, missing=len(people) < 2,
        worst=float(worst), seen=seen,
    )  # fmt: skip


def confusion(verdicts: Sequence[PairVerdict]) -> Float[np.ndarray, "2 4"]:
    """Rows: the subject whose clothes a person wears; columns `SEEN`: whom that person looks like. Every row sums to 1."""
    table = np.zeros((2, len(SEEN)))
    for verdict in verdicts:
        for row, column in enumerate(verdict.seen):
            table[row, SEEN.index(column)] += 1
    return table / max(len(verdicts), 1)


def _who(like: Float[np.ndarray, " s"]) -> str:
    """Whom a person is more like; "neither" for equal likenesses and for less than half of either."""
    if like.max() < 0.5 or like[0] == like[1]:
        return "neither"
    return SEEN[int(like.argmax())]


def _best_worst(like: Float[np.ndarray, "p 2"]) -> float:
    return 0.0 if len(like) < 2 else max(min(like[0, 0], like[1, 1]), min(like[0, 1], like[1, 0]))


def _dressed(people: Sequence[Sighting], subjects: Sequence[Mapping[str, str]]) -> tuple[int | None, int | None]:
    """Which person wears which subject's clothes: by the shirt's colour, and by the outfit where the colours do not decide."""
    if len(people) < 2:
        return (0, None) if people and _fits(people[0], subjects[0]) >= _fits(people[0], subjects[1]) else (None, 0 if people else None)
    straight = _fits(people[0], subjects[0]) + _fits(people[1], subjects[1])
    crossed = _fits(people[0], subjects[1]) + _fits(people[1], subjects[0])
    return (0, 1) if straight >= crossed else (1, 0)


def _fits(person: Sighting, labels: Mapping[str, str]) -> float:
    color = person.words["shirt_color"] == labels.get("shirt_color", labels.get("outfit_color"))
    return 1.0 * color + 0.3 * (person.words["outfit"] == labels["outfit"])
