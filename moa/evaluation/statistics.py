"""Estimates with intervals: every number is a statistic of weighted units (people, pairs, pictures), bootstrapped over clusters of units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

ROUNDS = 1000
Statistic = Callable[[Float[np.ndarray, "r n"]], Float[np.ndarray, " r"]]  # of weights of n units, in r rounds
Values = Float[np.ndarray, " n"] | Bool[np.ndarray, " n"] | Sequence[float] | Sequence[bool]
Clusters = Int[np.ndarray, " n"] | Sequence[int]  # of each unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its 95 % interval, the number of units it is of, and of the clusters they lie in. NaN where there was nothing to measure."""

    value: float
    low: float
    high: float
    count: int
    clusters: int


def estimate(statistic: Statistic, clusters: Clusters, *, seed: int = 0, rounds: int = ROUNDS) -> Estimate:
    """The statistic and its percentile bootstrap interval ("An Introduction to the Bootstrap", Efron and Tibshirani 1993, section 13.3).

    `clusters` names the cluster of each unit. Whole clusters are drawn ("Bootstrapping clustered data", Field and Welsh 2007): units of
    one cluster share something random, such as the noise, and say less together than as many units on their own.
    """
    names, of = np.unique(np.asarray(clusters, int), return_inverse=True)
    if not len(names):
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    value = float(statistic(np.ones((1, len(of))))[0])
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds).astype(float)
    low, high = np.nanpercentile(statistic(drawn[:, of]), (2.5, 97.5))
    return Estimate(value, float(low), float(high), len(of), len(names))


def mean(values: Values, clusters: Clusters | None = None) -> Estimate:
    """The mean of one value a unit, over the units for which there is one (not NaN). Without `clusters` every unit is its own."""
    values = np.asarray(values, float)
    there = ~np.isnan(values)
    values, clusters = values[there], _own(len(there), clusters)[there]
    return estimate(lambda weights: weights @ values / np.maximum(weights.sum(1), 1e-9), clusters)


def balanced_accuracy(truth: Sequence[str], read: Sequence[str | None], clusters: Clusters | None = None) -> Estimate:
    """The share of right answers for each true word, averaged over the words that occur; None (nobody there to read) is wrong."""
    right = np.array([a == b for a, b in zip(truth, read, strict=True)], bool)
    return estimate(_balanced(_one_hot(truth), right), _own(len(right), clusters))


def majority(truth: Sequence[str]) -> float:
    """The balanced accuracy of always saying the commonest word."""
    return 1 / len(set(truth)) if truth else float("nan")


def commonest(truth: Sequence[str]) -> float:
    """The plain accuracy of always saying the commonest word."""
    return max(np.unique(np.array(truth), return_counts=True)[1]) / len(truth) if truth else float("nan")


def auc(same: Float[np.ndarray, " n"], different: Float[np.ndarray, " m"]) -> float:
    """The probability that a pair of the same is more alike than a pair of different ones; ties count half."""
    if not len(same) or not len(different):
        return float("nan")
    order = np.sort(different)
    below, up_to = np.searchsorted(order, same, "left"), np.searchsorted(order, same, "right")
    return float((below + up_to).mean() / 2 / len(order))


def _own(count: int, clusters: Clusters | None) -> Int[np.ndarray, " n"]:
    """The clusters as they are, or one a unit."""
    found = np.arange(count) if clusters is None else np.asarray(clusters, int)
    assert len(found) == count, f"{count} units, {len(found)} clusters"
    return found


def _one_hot(truth: Sequence[str]) -> Bool[np.ndarray, "n k"]:
    words, code = np.unique(np.array(truth, object).astype(str), return_inverse=True)
    return code.reshape(-1, 1) == np.arange(len(words))


def _balanced(classes: Bool[np.ndarray, "n k"], right: Bool[np.ndarray, " n"]) -> Statistic:
    def statistic(weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
        total, hits = weights @ classes, weights @ (classes & right[:, None])
        recall = np.divide(hits, total, out=np.full_like(hits, np.nan), where=total > 0)
        return np.nanmean(recall, axis=1)

    return statistic
