"""The rows of the report: every number with its interval, and what to hold it against."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from einops import rearrange

from moa.evaluation import alignment, context, diversity, pairs, routing
from moa.evaluation.identity import Answers, embeddings, likeness, nearest_is_own, same_different
from moa.evaluation.seen import Seen
from moa.evaluation.statistics import Estimate, balanced_accuracy, commonest, majority, mean

AIMS = {
    "hair_color": 0.90, "skin": 0.90, "glasses": 0.85, "beard": 0.85, "hair_style": 0.75, "scene": 0.95, "shirt_color": 0.80,
    "both_own": 0.80, "duplicates": 0.05,
}  # fmt: skip
WHO = ("hair_color", "skin", "glasses", "beard", "hair_style", "hat")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured quantity. `value` beside `majority` (balanced accuracy of the commonest word), `commonest` (its plain accuracy), the
    `prior` alone and the reader's `ceiling` on real renders; `unit` is "share" (0..1) or "range" (per cent of the pixel range)."""

    group: str
    name: str
    value: Estimate
    prior: Estimate | None = None
    ceiling: Estimate | None = None
    majority: float | None = None
    commonest: float | None = None
    aim: float | None = None
    unit: str = "share"
    less_is_better: bool = False

    def as_json(self) -> dict[str, object]:
        """Plain values; None for what was not measured, and for NaN."""
        return _plain(asdict(self))


@dataclass(frozen=True, slots=True)
class Trio:
    """The same cases drawn with the adapter, by the prior alone and by the world itself."""

    ours: Seen
    prior: Seen | None
    ceiling: Seen

    def of_kind(self, kind: str) -> "Trio":
        """The cases whose subjects are of one kind."""
        return Trio(*(None if seen is None else seen.of_kind(kind) for seen in (self.ours, self.prior, self.ceiling)))


def word_row(group: str, name: str, trio: Trio, ask: Callable[[Seen], Answers]) -> Row:
    """A row of balanced accuracy: `ask` gives truth, answers and clusters."""
    found = ask(trio.ours)
    beside = [None if seen is None else balanced_accuracy(*ask(seen)) for seen in (trio.prior, trio.ceiling)]
    return Row(group, name, balanced_accuracy(*found), *beside, majority(found.truth), commonest(found.truth), AIMS.get(name))


def share_row(group: str, name: str, trio: Trio, judge: Callable[[Seen], Sequence[float]], *, less_is_better: bool = False) -> Row:
    """A row of means: `judge` gives one value a picture, or one a subject."""
    value, *beside = (None if seen is None else seen_mean(seen, judge(seen)) for seen in (trio.ours, trio.prior, trio.ceiling))
    return Row(group, name, value, *beside, aim=AIMS.get(name), less_is_better=less_is_better)


def seen_mean(seen: Seen, values: Sequence[float]) -> Estimate:
    """The mean of one value a picture or a subject; those that share their noise count together in its interval."""
    return mean(values, seen.clusters if len(values) == len(seen) else seen.flat_clusters)


def identity_rows(trio: Trio, gallery: Seen) -> list[Row]:
    """Who it is: every attribute, all of them together, and nearest neighbours among the held-out people in other clothes."""
    rows = [word_row("identity", name, trio, lambda seen, name=name: alignment.asked_and_read(seen, name)) for name in WHO]
    rows.append(share_row("identity", "likeness", trio, lambda seen: _likenesses(seen)))
    return rows + nearest_rows("identity", trio, gallery)


def nearest_rows(group: str, trio: Trio, gallery: Seen) -> list[Row]:
    """How often a subject's region is nearer to its own picture in the gallery than to any other, by embedding and by histogram."""
    return [
        share_row(group, f"nearest_{kind}", trio, lambda seen, kind=kind, own=own: nearest_is_own(embedded(seen, gallery)[kind], own))
        for kind, own in embedded(gallery, gallery).items()
    ]


def separation(trio: Trio, gallery: Seen) -> dict[str, float]:
    """Areas under the curve of same against different people, by embedding and by histogram, ours and the ceiling's."""
    known, out = embedded(gallery, gallery), {}
    for name, seen in (("ours", trio.ours), ("ceiling", trio.ceiling)):
        found = embedded(seen, gallery)
        out |= {f"{name}_{kind}": same_different(found[kind], known[kind]) for kind in known}
    return out


def embedded(seen: Seen, gallery: Seen) -> dict[str, np.ndarray]:
    """The embeddings of all subjects, as wide as those of the gallery."""
    width = next((len(s.embedding) for s in gallery.flat if s is not None), 1)
    return embeddings([seen.readings[i] for i in seen.where], seen.flat, [seen.images[i] for i in seen.where], width=width)


def alignment_rows(trio: Trio, *, asked: Sequence[str] = alignment.ASKED) -> list[Row]:
    """What the text asked for, and the number of people."""
    rows = [word_row("prompt", name, trio, lambda seen, name=name: alignment.asked_and_read(seen, name)) for name in asked]
    return [*rows, share_row("prompt", "number", trio, alignment.right_number)]


def context_rows(ours: Seen, prior: Seen, other_seeds: np.ndarray) -> list[Row]:
    """Drift from the prior's picture of the same seed, between two subjects with one seed, and for scale between two seeds of the prior.

    The first is of every picture, and two in a row share the noise and the prior's picture; the others are of pairs that share nothing.
    """
    masks = [(a.mask, b.mask) for a, b in zip(ours.readings, prior.readings, strict=True)]
    to_prior = context.drifts(ours.images, prior.images, masks)
    first, second = range(0, len(ours) - 1, 2), range(1, len(ours), 2)
    between = context.drifts(
        [ours.images[i] for i in first], [ours.images[i] for i in second], [(ours.readings[i].mask, ours.readings[j].mask) for i, j in zip(first, second, strict=True)],
    )  # fmt: skip
    named = (("drift_from_prior", seen_mean(ours, to_prior)), ("drift_between_subjects", mean(between)), ("other_seed", mean(other_seeds)))
    return [Row("context", name, found, unit="range", less_is_better=True) for name, found in named]


def routing_rows(seen: Seen) -> list[Row]:
    """Where the experts drew, against the subjects' pixels; nothing for pictures without maps."""
    judged = {
        i: routing.judge_map(picture.experts, seen.figures(i))
        for i, picture in enumerate(seen.pictures)
        if picture.experts is not None and seen.figures(i).any()
    }
    if not judged:
        return []
    clusters = [seen.clusters[i] for i in judged]
    named = {name: [getattr(one, name) for one in judged.values()] for name in ("inside", "outside", "overlap")}
    return [Row("routing", name, mean(values, clusters), less_is_better=name == "outside") for name, values in named.items()]


def own_map_row(seen: Seen) -> Row | None:
    """How much of each subject's own map, of what lies on people, lies on its own person."""
    values, clusters = [], []
    for i, (case, picture) in enumerate(zip(seen.cases, seen.pictures, strict=True)):
        figures = [None if s is None else seen.readings[i].figure(s) for s in seen.matched[i]]
        if len(figures) < 2 or any(f is None for f in figures) or not picture.maps:
            continue
        values += [routing.own_share(picture.maps[name], figures[k], figures[1 - k]) for k, name in enumerate(case.names)]
        clusters += [case.cluster] * len(case.names)
    return Row("routing", "own_map", mean(values, clusters)) if values else None


def pair_rows(trio: Trio, gallery: Seen) -> tuple[list[Row], np.ndarray]:
    """Two people in one picture: the rows, and the confusion matrix. `gallery` shows each of them once, in the same order.

    For the nearest neighbours a subject's region is the one that looks most like it, whatever it wears: a swap does not count against them.
    """
    judged = {id(seen): judge_pairs(seen) for seen in (trio.ours, trio.prior, trio.ceiling) if seen is not None}
    fields = {"both_own": "own", "swapped": "swapped", "duplicates": "duplicate", "missing": "missing", "worst_likeness": "worst"}
    rows = [
        share_row("two people", name, trio, lambda seen, field=field: [getattr(v, field) for v in judged[id(seen)]], less_is_better=field in ("swapped", "duplicate", "missing"))
        for name, field in fields.items()
    ]  # fmt: skip
    near = nearest_rows("two people", trio, gallery)
    both = share_row("two people", "both_nearest", trio, lambda seen: both_nearest(seen, gallery))
    return [rows[0], both, *rows[1:], *near], pairs.confusion(judged[id(trio.ours)])


def both_nearest(seen: Seen, gallery: Seen) -> list[bool]:
    """Of each picture of two people, whether both regions are nearest, by embedding, to their own person in the gallery."""
    right = nearest_is_own(embedded(seen, gallery)["embedding"], embedded(gallery, gallery)["embedding"])
    return rearrange(right, "(b s) -> b s", s=2).all(1).tolist()


def judge_pairs(seen: Seen) -> list[pairs.PairVerdict]:
    """The verdict on every picture."""
    return [pairs.judge_pair(r, [p.labels for p in case.parts]) for case, r in zip(seen.cases, seen.readings, strict=True)]


def diversity_row(ours: Seen, prior: Seen, seeds: int) -> Row:
    """How much pictures change with the seed: one value a subject, over all of its seeds; two subjects share no seed."""
    spreads = [mean(diversity.spreads(np.stack(seen.images), seeds)) for seen in (ours, prior)]
    return Row("diversity", "over_seeds", spreads[0], spreads[1], unit="range")


def _likenesses(seen: Seen) -> list[float]:
    return [0.0 if s is None else likeness(s, labels) for s, labels in zip(seen.flat, seen.labels, strict=True)]


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and np.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
