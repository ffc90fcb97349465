"""Two people: right, swapped, doubled, missing, one too many."""

import numpy as np
import pytest

from moa.evaluation.pairs import confusion, judge_pair

from knowing import BOXES, reading, sighting, truth


def verdict(case, *people):
    return judge_pair(reading(case.scene, *people), [part.labels for part in case.parts])


@pytest.mark.parametrize("number", range(6))
def test_the_truth_is_right_wherever_the_two_stand(doubles, number):
    case = doubles[number]
    people = truth(case).sightings
    for order in (people, people[::-1]):
        found = verdict(case, *order)
        assert found.own and found.worst == 1 and found.seen == ("first", "second")
        assert not (found.swapped or found.duplicate or found.missing)


@pytest.mark.parametrize("number", range(6))
def test_identities_in_one_anothers_clothes_are_a_swap(doubles, number):
    case = doubles[number]
    first, second = case.parts
    found = verdict(case, sighting(second, BOXES[2][0], clothes=first), sighting(first, BOXES[2][1], clothes=second))
    assert found.swapped and not found.own and not found.duplicate and found.seen == ("second", "first")


def test_one_identity_twice_is_a_duplicate(doubles):
    case = doubles[0]
    first, second = case.parts
    found = verdict(case, sighting(first, BOXES[2][0]), sighting(first, BOXES[2][1], clothes=second))
    assert found.duplicate and not found.own and found.seen == ("first", "first") and found.worst < 1


def test_a_third_person_is_a_duplicate_and_one_alone_is_missing(doubles):
    case = doubles[0]
    first, second = case.parts
    third = verdict(case, *(sighting(part, box) for part, box in zip((first, second, first), BOXES[3], strict=True)))
    assert third.duplicate and not third.own
    alone = verdict(case, sighting(second, BOXES[2][0]))
    assert alone.missing and alone.worst == 0 and sorted(alone.seen) == ["nobody", "second"]
    assert verdict(case).seen == ("nobody", "nobody")


def test_confusion_matrix(doubles):
    case = doubles[0]
    first, second = case.parts
    right = verdict(case, *truth(case).sightings)
    swapped = verdict(case, sighting(second, BOXES[2][0], clothes=first), sighting(first, BOXES[2][1], clothes=second))
    table = confusion([right, right, right, swapped])
    assert np.allclose(table, [[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0]])
