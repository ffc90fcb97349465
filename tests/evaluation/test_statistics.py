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
    found = [
        estimate(partial(share_of, values=sample), range(80), seed=trial, rounds=200) for trial, sample in enumerate(samples.astype(float))
    ]
    assert np.mean([one.low <= 0.7 <= one.high for one in found]) > 0.85


@pytest.mark.parametrize("times", [2, 4, 9])
def test_copies_in_one_cluster_say_no_more_than_the_original(times):
    values = np.random.default_rng(3).random(60)
    alone, copies, own = mean(values), np.repeat(values, times), np.repeat(np.arange(60), times)
    together, apart = mean(copies, own), mean(copies)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high)) and (together.count, together.clusters) == (
        60 * times,
        60,
    )
    assert together.value == apart.value == pytest.approx(alone.value) and apart.clusters == 60 * times
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(np.sqrt(times), rel=0.12)


def test_balanced_accuracy_by_clusters():
    rng = np.random.default_rng(4)
    truth = rng.choice(["a", "b", "c"], 90).tolist()
    read = [word if rng.random() < 0.6 else "a" for word in truth]
    alone, own = balanced_accuracy(truth, read), np.tile(np.arange(90), 4)
    together, apart = balanced_accuracy(truth * 4, read * 4, own), balanced_accuracy(truth * 4, read * 4)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(2, rel=0.15)


def test_what_is_not_defined_is_left_out_with_its_cluster():
    found = mean([0.0, np.nan, 1.0, 1.0], [1, 2, 3, 3])
    assert (found.value, found.count, found.clusters) == (pytest.approx(2 / 3), 3, 2)
    with pytest.raises(AssertionError, match="2 units, 1 clusters"):
        mean([0.0, 1.0], [1])


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
