"""Is it the right person? Attributes read back, each subject matched to its best region, and nearest neighbours by embedding."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from moa.evaluation.attributes import IDENTITY, readable
from moa.evaluation.reader import Reading, Sighting
from moa.evaluation.statistics import auc

HATS = "hat"


def identity_labels(labels: Mapping[str, str], kind: str = "person") -> dict[str, str]:
    """The part of a subject's labels that says who it is, as the reader names them."""
    return {name: word for name, word in readable(kind, labels).items() if name in IDENTITY[kind]}


def likeness(sighting: Sighting, labels: Mapping[str, str], *, clothes: bool = False) -> float:
    """The share of who-it-is attributes, of those one can see, that read as they should; with `clothes`, of all attributes."""
    wanted = readable(sighting.kind, labels) if clothes else identity_labels(labels, sighting.kind)
    return float(np.mean([sighting.words[name] == word for name, word in wanted.items()])) if wanted else 0.0


def match(sightings: Sequence[Sighting], subjects: Sequence[Mapping[str, str]], *, clothes: bool = False) -> list[Sighting | None]:
    """For each subject (its labels) its region: every region at most once, all likenesses together as great as can be; None if too few.

    Ties go to what the reader is surer of.
    """
    places: list[int | None] = [*range(min(len(sightings), 6)), *[None] * len(subjects)]
    like = np.array([[likeness(s, labels, clothes=clothes) + 1e-3 * s.score for s in sightings] for labels in subjects])

    def total(chosen: tuple[int | None, ...]) -> float:
        return float(sum(like[i, j] for i, j in enumerate(chosen) if j is not None))

    best = max(dict.fromkeys(permutations(places, len(subjects))), key=total)
    return [None if j is None else sightings[j] for j in best]


class Answers(NamedTuple):
    """What was to be read off each subject or picture, what was (None: nobody found), and which of them share their noise."""

    truth: list[str]
    read: list[str | None]
    clusters: list[int]


def answers(
    matched: Sequence[Sighting | None], subjects: Sequence[Mapping[str, str]], clusters: Sequence[int], attribute: str, kind: str = "person"
) -> Answers:
    """The answers for one attribute over the subjects on whom it is visible.

    "hair_style" is asked of people without a hat, "hat" of people with one.
    """
    head = "hair_style" if attribute == HATS else attribute
    found = Answers([], [], [])
    for sighting, labels, cluster in zip(matched, subjects, clusters, strict=True):
        if attribute in labels:
            found.truth.append(labels[attribute])
            found.read.append(None if sighting is None or sighting.kind != kind else sighting.words[head])
            found.clusters.append(cluster)
    return found


def histogram(image: UInt8[np.ndarray, "h w 3"], figure: Bool[np.ndarray, "h w"], bins: int = 6) -> Float[np.ndarray, " d"]:
    """The baseline embedding: square roots of a colour histogram of the figure, of unit length (a dot product is Bhattacharyya's)."""
    cells = (image[figure].astype(int) * bins) // 256
    counts = np.bincount(cells @ np.array([bins * bins, bins, 1]), minlength=bins**3).astype(float)
    return np.sqrt(counts / max(counts.sum(), 1))


def embeddings(
    readings: Sequence[Reading], matched: Sequence[Sighting | None], images: Sequence[np.ndarray], *, width: int
) -> dict[str, np.ndarray]:
    """Each subject's embedding by the reader (`width` numbers) and by the histogram, zero where nobody was found."""
    learned = [np.zeros(width) if s is None else s.embedding for s in matched]
    colors = [
        np.zeros(6**3) if s is None else histogram(image, reading.figure(s))
        for s, reading, image in zip(matched, readings, images, strict=True)
    ]
    return {"embedding": np.stack(learned), "histogram": np.stack(colors)}


def nearest_is_own(drawn: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Whether row i of `drawn` is closer to row i of the gallery than to any other."""
    near = drawn @ gallery.T
    return (near.argmax(1) == np.arange(len(near))) & (near.max(1) > 0)


def same_different(drawn: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "n d"]) -> float:
    """The area under the curve of telling own pictures from others'."""
    near = drawn @ gallery.T
    own = np.eye(len(near), dtype=bool)
    return auc(near[own], near[~own])
