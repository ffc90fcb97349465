"""Diversity: how different the pictures of one subject and prompt are from seed to seed."""

from itertools import combinations

import numpy as np
from jaxtyping import Float, UInt8


def spread(pictures: UInt8[np.ndarray, "n h w 3"]) -> float:
    """Mean absolute difference over all pairs of pictures, in per cent of the full range."""
    pairs = combinations(pictures.astype(np.float32), 2)
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs]) / 2.55)


def spreads(pictures: UInt8[np.ndarray, "b h w 3"], seeds: int) -> Float[np.ndarray, " n"]:
    """`spread` of each run of `seeds` pictures."""
    return np.array([spread(pictures[start : start + seeds]) for start in range(0, len(pictures), seeds)])
