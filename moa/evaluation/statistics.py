"""Estimates with intervals: every number is a statistic of weighted units (people, pairs, pictures), bootstrapped over the units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

ROUNDS = 1000
Statistic = Callable[[Float[np.ndarray, "r n"]], Float[np.ndarray, " r"]]  # of weights of n units, in r rounds


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its 95 % interval, and the number of units it is of. NaN where there was nothing to measure."""

    value: float
    low: float
    high: float
    count: int


def estimate(statistic: Statistic, count: int, *, seed: int = 0, rounds: int = ROUNDS) -> Estimate:
    """The statistic and its percentile bootstrap interval ("An Introduction to the Bootstrap", Efron and Tibshirani 1993, section 13.3)."""
    if count == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    value = float(statistic(np.ones((1, count)))[0])
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=rounds).astype(float)
    low, high = np.nanpercentile(statistic(weights), (2.5, 97.5))
    return Estimate(value, float(low), float(high), count)


def mean(values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"] | Sequence[float] | Sequence[bool]) -> Estimate:
    """The mean of one value a unit."""
    values = np.asarray(values, float)
    return estimate(lambda weights: weights @ values / np.maximum(weights.sum(1), 1e-9), len(values))


def balanced_accuracy(truth: Sequence[str], read: Sequence[str | None]) -> Estimate:
    """The share of right answers for each true word, averaged over the words that occur; None (nobody there to read) is wrong."""
    right = np.array([a == b for a, b in zip(truth, read, strict=True)], bool)
    return estimate(_balanced(_one_hot(truth), right), len(truth))


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


def _one_hot(truth: Sequence[str]) -> Bool[np.ndarray, "n k"]:
    words, code = np.unique(np.array(truth, object).astype(str), return_inverse=True)
    return code.reshape(-1, 1) == np.arange(len(words))


def _balanced(classes: Bool[np.ndarray, "n k"], right: Bool[np.ndarray, " n"]) -> Statistic:
    def statistic(weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
        total, hits = weights @ classes, weights @ (classes & right[:, None])
        recall = np.divide(hits, total, out=np.full_like(hits, np.nan), where=total > 0)
        return np.nanmean(recall, axis=1)

    return statistic
