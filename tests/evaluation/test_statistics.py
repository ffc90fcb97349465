"""Balanced accuracy, intervals and areas under curves, against what they are by definition."""

from functools import partial

import numpy as np
import pytest

from moa.evaluation.statistics import auc, balanced_accuracy, commonest, estimate, majority, mean


def test_balanced_accuracy_averages_over_words():
    truth, read = ["a"] * 8 + ["b"] * 2, ["a"] * 8 + ["a", "b"]
    assert balanced_accuracy(truth, read).value == pytest.approx((1.0 + 0.5) / 2)
    assert majority(truth) == 0.5 and commonest(truth) == 0.8
    assert balanced_accuracy(truth, ["a"] * 10).value == majority(truth)


def test_nobody_to_read_is_a_wrong_answer():
    assert balanced_accuracy(["a", "b"], ["a", None]).value == 0.5


def test_nothing_to_measure_is_nan_not_an_error():
    for found in (mean([]), balanced_accuracy([], [])):
        assert np.isnan(found.value) and found.count == 0
    assert np.isnan(majority([])) and np.isnan(auc(np.array([]), np.array([1.0])))


def test_interval_covers_the_truth_about_as_often_as_it_says():
    samples = np.random.default_rng(0).random((80, 80)) < 0.7
    found = [estimate(partial(share_of, values=sample), 80, seed=trial, rounds=200) for trial, sample in enumerate(samples.astype(float))]
    assert np.mean([one.low <= 0.7 <= one.high for one in found]) > 0.85


def share_of(weights, values):
    return weights @ values / len(values)


def test_intervals_are_reproducible_and_contain_the_value():
    found = mean(np.random.default_rng(1).random(50))
    assert found == mean(np.random.default_rng(1).random(50)) and found.low < found.value < found.high


def test_auc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(2)
    same, different = rng.integers(0, 6, 30).astype(float), rng.integers(0, 5, 40).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in same for b in different]
    assert auc(same, different) == pytest.approx(np.mean(pairs))
