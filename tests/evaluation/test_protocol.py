"""The cases: held out, reproducible, balanced, and asking for what the reference does not show."""

from collections import Counter

import numpy as np

from moa.data.world import split_of
from moa.evaluation.protocol import other_cases, pair_cases, reseeded, single_cases, worded


def test_cases_are_held_out_and_reproducible(singles, doubles):
    assert single_cases(12) == singles and pair_cases(6) == doubles
    assert all(split_of(part.person) == "test" for case in singles + doubles for part in case.parts)
    assert single_cases(6) == singles[:6]


def test_two_people_in_a_row_share_everything_but_the_person(singles):
    for first, second in zip(singles[::2], singles[1::2], strict=True):
        assert (first.prompt, first.seed, first.scene) == (second.prompt, second.seed, second.scene)
        assert first.parts[0].person != second.parts[0].person
    assert len({case.seed for case in singles}) == len(singles) // 2


def test_cases_of_one_noise_are_a_cluster(singles, doubles):
    clusters = [case.cluster for case in singles]
    assert clusters[::2] == clusters[1::2] and len(set(clusters)) == 6
    kinds = (singles[::2], doubles, pair_cases(6, together=3), other_cases(2), reseeded(singles[:4:2], 3)[1::3])
    assert len({case.cluster for some in kinds for case in some}) == 6 + 6 + 6 + 6 + 2


def test_three_people_wear_three_colors_and_are_said_in_few_words():
    for case in pair_cases(12, together=3):
        assert len({part.number for part in case.parts}) == len({part.labels["shirt_color"] for part in case.parts}) == 3
        assert len(worded(case).prompt.split()) <= 60 and all(part.labels["skin"] in worded(case).prompt for part in case.parts)
        assert case.render().shape == (128, 128, 3)


def test_other_kinds_are_held_out_and_say_what_is_read():
    cases = other_cases(12)
    assert Counter(case.kind for case in cases) == {"robot": 12, "creature": 12, "plant": 12}
    for case in cases:
        labels = case.parts[0].labels
        assert split_of(case.parts[0].person) == "test" and "<" not in case.prompt == case.plain and case.render().shape == (128, 128, 3)
        assert labels.get("body_color", labels.get("pot_color")) in case.prompt
    assert all(len({case.scene for case in cases if case.kind == kind}) == 12 for kind in ("robot", "creature", "plant"))


def test_every_word_is_asked_for_equally_often():
    cases = single_cases(192)[::2]
    scenes = Counter(case.scene for case in cases)
    mouths = Counter(case.parts[0].state.mouth for case in cases)
    assert set(scenes.values()) == {8} and set(mouths.values()) == {16}


def test_prompts_name_the_subjects_and_the_prior_reads_nouns(singles, doubles):
    for case in singles + doubles:
        assert all(f"<{name}>" in case.prompt for name in case.names) and "<" not in case.plain
        assert case.plain.count("a person") == len(case.parts)
        words = worded(case)
        assert "<" not in words.prompt == words.plain and len(words.prompt) > len(case.plain)


def test_pairs_wear_shirts_of_different_colors(doubles):
    for case in doubles:
        first, second = (part.labels["shirt_color"] for part in case.parts)
        assert first != second and f"{first} " in case.prompt and f"{second} " in case.prompt


def test_reference_is_of_another_state_and_renders_are_pictures(singles):
    case = singles[0]
    assert np.asarray(case.parts[0].reference()).shape == case.render().shape == (128, 128, 3)
    assert np.array_equal(case.render(), case.render())


def test_seeds_differ_and_start_with_the_own_one(singles):
    again = reseeded(singles[:2], 3)
    assert [case.seed for case in again[:3]] == [singles[0].seed + 20_000 * i for i in range(3)] and len(again) == 6
