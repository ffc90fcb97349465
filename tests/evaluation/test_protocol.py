"""The cases: held out, reproducible, balanced, and asking for what the reference does not show."""

from collections import Counter

import numpy as np

from moa.data.world import split_of
from moa.evaluation.protocol import pair_cases, reseeded, single_cases, worded


def test_cases_are_held_out_and_reproducible(singles, doubles):
    assert single_cases(12) == singles and pair_cases(6) == doubles
    assert all(split_of(part.person) == "test" for case in singles + doubles for part in case.parts)
    assert single_cases(6) == singles[:6]


def test_two_people_in_a_row_share_everything_but_the_person(singles):
    for first, second in zip(singles[::2], singles[1::2], strict=True):
        assert (first.prompt, first.seed, first.scene) == (second.prompt, second.seed, second.scene)
        assert first.parts[0].person != second.parts[0].person
    assert len({case.seed for case in singles}) == len(singles) // 2


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
