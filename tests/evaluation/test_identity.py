"""Attributes by person, matching of subjects to regions, nearest neighbours."""

import numpy as np

from moa.evaluation.identity import answers, histogram, likeness, match, nearest_is_own, same_different

from knowing import BOXES, sighting


def test_right_person_is_alike_and_another_is_less(singles):
    labels = singles[0].parts[0].labels
    assert likeness(sighting(singles[0].parts[0], BOXES[1][0]), labels) == 1
    assert likeness(sighting(singles[1].parts[0], BOXES[1][0]), labels) < 1


def test_clothes_do_not_count_for_identity(singles):
    first, other = singles[0].parts[0], singles[4].parts[0]
    assert likeness(sighting(first, BOXES[1][0], clothes=other), first.labels) == 1


def test_every_subject_gets_its_best_region_and_each_region_serves_once(doubles):
    parts = doubles[0].parts
    found = [sighting(part, box) for part, box in zip(parts, BOXES[2], strict=True)]
    labels = [part.labels for part in parts]
    assert match(found, labels) == found and match(found[::-1], labels) == found
    assert match(found[:1], labels) == [found[0], None] and match([], labels) == [None, None]
    twice = match([found[0], found[0]], labels)
    assert len(twice) == 2 and None not in twice


def test_attributes_are_asked_of_people_on_whom_they_show(singles):
    subjects = [case.parts[0].labels for case in singles]
    matched = [sighting(case.parts[0], BOXES[1][0]) for case in singles]
    for attribute in ("hair_color", "hair_style", "hat", "glasses", "beard"):
        found = answers(matched, subjects, range(len(subjects)), attribute)
        assert found.truth == found.read and found.clusters == [i for i, labels in enumerate(subjects) if attribute in labels]
    assert answers([None], subjects[:1], [7], "skin") == ([subjects[0]["skin"]], [None], [7])


def test_nearest_neighbours():
    eye = np.eye(4)
    assert nearest_is_own(eye, eye).all() and same_different(eye, eye) == 1
    assert nearest_is_own(eye[[1, 0, 2, 3]], eye).tolist() == [False, False, True, True]
    assert not nearest_is_own(np.zeros((4, 4)), eye).any()


def test_histogram_sees_the_figure_only():
    image = np.zeros((8, 8, 3), np.uint8)
    mask = np.zeros((8, 8), bool)
    image[:4], mask[:4] = 250, True
    other = image.copy()
    other[4:] = 90
    assert np.array_equal(histogram(image, mask), histogram(other, mask)) and np.linalg.norm(histogram(image, mask)) == 1
    assert histogram(image, ~mask) @ histogram(image, mask) == 0
