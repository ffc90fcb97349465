"""The four things that can be measured: an adapter, the prior in words alone, the autoencoder, and the reader itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from moa.data.world import looks, scene_names
from moa.evaluation import context
from moa.evaluation.alignment import asked_and_read
from moa.evaluation.attributes import NONE
from moa.evaluation.identity import Answers
from moa.evaluation.kinds import kind_rows
from moa.evaluation.painters import Painter, Picture, world_painter
from moa.evaluation.protocol import SPLIT, Case, Part, other_cases, pair_cases, reseeded, single_cases, worded
from moa.evaluation.reader import Reader
from moa.evaluation.rows import (
    Row,
    Trio,
    alignment_rows,
    context_rows,
    diversity_row,
    identity_rows,
    own_map_row,
    pair_rows,
    routing_rows,
    seen_mean,
    separation,
    word_row,
)
from moa.evaluation.seen import Seen, look
from moa.evaluation.statistics import mean

WORDED = ("hair_color", "hair_style", "glasses", "beard", "skin")
PRIOR_AIMS = {"scene": 0.95, "shirt_color": 0.80, "hair_color": 0.80}


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rows of numbers, the confusion matrix of pairs, areas under curves, and the pictures to show, each a dict by name."""

    rows: list[Row]
    confusion: np.ndarray | None = None
    separation: dict[str, float] = field(default_factory=dict)
    shown: dict[str, Seen] = field(default_factory=dict)


def gallery_cases(cases: Sequence[Case]) -> list[Case]:
    """The people of `cases` once more, each alone, in other clothes, with another face and in other scenes."""
    out = []
    for case, part in [(one, part) for one in cases for part in one.parts]:
        state = next(s for s in looks(SPLIT, part.number) if s.differs(part.state))
        scene = scene_names()[(scene_names().index(case.scene) + 1 + part.number % 11) % len(scene_names())]
        out.append(replace(case, parts=(Part(part.number, state),), scene=scene, seed=case.seed + 100_000 + part.number))
    return out


def measure_adapter(reader: Reader, personal: Painter, prior: Painter, *, people: int, pairs: int, diverse: int, seeds: int) -> Measurement:
    """Everything about an adapter: `people` alone, `pairs` of two, `diverse` people with `seeds` seeds each, all held out."""
    cases = single_cases(people)
    singles = _trio(reader, cases, personal, prior)
    gallery = _gallery(reader, cases)
    doubles = _trio(reader, two := pair_cases(pairs), personal, prior)
    again = reseeded(cases[: 2 * diverse : 2], seeds)
    more = [look(reader, again, painter(again)) for painter in (personal, prior)]
    rows = identity_rows(singles, gallery) + alignment_rows(singles)
    pair, table = pair_rows(doubles, _gallery(reader, two))
    rows += pair + [replace(row, group="two people") for row in alignment_rows(doubles, asked=("scene", "shirt_color"))]
    rows += context_rows(singles.ours, singles.prior, seed_drift(more[1], seeds)) + routing_rows(singles.ours)
    rows += [row for row in (own_map_row(doubles.ours), diversity_row(*more, seeds)) if row is not None]
    shown = {"singles": singles.ours, "singles_prior": singles.prior, "pairs": doubles.ours, "pairs_prior": doubles.prior, "seeds": more[0]}
    return Measurement(rows, table, separation(singles, gallery), shown)


def measure_prior(reader: Reader, prior: Painter, *, people: int, pairs: int, diverse: int, seeds: int) -> Measurement:
    """Does the prior draw what words ask for, of people whose combination of attributes it never saw?

    Three people and the other kinds of subjects are measured on fewer pictures: half and three quarters as many as `pairs`.
    """
    drawn = (single_cases(people), pair_cases(pairs), pair_cases(-(-pairs // 2), together=3))
    singles, doubles, threes = (_trio(reader, [worded(case) for case in cases], prior, None) for cases in drawn)
    others = _trio(reader, other_cases(-(-pairs // 4)), prior, None)
    rows = alignment_rows(singles)
    rows += [
        word_row("said of the person", name, singles, lambda seen, name=name: said(name, asked_and_read(seen, name))) for name in WORDED
    ]
    rows = [replace(row, aim=PRIOR_AIMS.get(row.name)) for row in rows]
    for group, several in (("two people", doubles), ("three people", threes)):
        rows += [replace(row, group=group) for row in alignment_rows(several, asked=("scene", "shirt_color", "hair_color"))]
    rows += kind_rows(others)
    cases = singles.ours.cases
    again = reseeded(cases[: 2 * diverse : 2], seeds)
    more = look(reader, again, prior(again))
    rows.append(replace(diversity_row(more, more, seeds), prior=None))
    return Measurement(
        rows, shown={"singles": singles.ours, "pairs": doubles.ours, "threes": threes.ours, "others": others.ours, "seeds": more}
    )


def measure_autoencoder(reader: Reader, reconstruct: Painter, *, people: int, pairs: int) -> Measurement:
    """Does a reconstruction read as its original does? `agreement` is relative to the reading of the render, not to the truth."""
    cases = single_cases(people) + pair_cases(pairs)
    before = look(reader, cases, originals := world_painter(cases))
    after = look(reader, cases, reconstruct(cases))
    names = sorted({name for s in before.flat if s is not None for name in s.words})
    both = list(zip(before.readings, after.readings, strict=True))
    rows = [Row("agreement", "scene", seen_mean(before, [a.scene == b.scene for a, b in both]))]
    rows.append(Row("agreement", "number", seen_mean(before, [len(a.sightings) == len(b.sightings) for a, b in both])))
    agreements = {name: _agreement(before, after, name) for name in names}
    rows += [Row("agreement", name, mean(*found)) for name, found in agreements.items() if len(found[0])]
    rows.append(Row("agreement", "all_attributes", mean(*map(np.concatenate, zip(*agreements.values(), strict=True))), aim=0.97))
    rows += [replace(row, group="read from reconstructions", prior=None) for row in alignment_rows(Trio(after, None, before))]
    decibels = [psnr(a.image, b.image) for a, b in zip(originals, after.pictures, strict=True)]
    rows.append(Row("pixels", "psnr", seen_mean(before, decibels), unit="decibel"))
    return Measurement(rows, shown={"originals": before, "reconstructions": after})


def measure_reader(reader: Reader, *, people: int, pairs: int) -> Measurement:
    """The reader on real renders of held-out people: the ceiling of everything else."""
    cases = single_cases(people)
    singles, gallery = look(reader, cases, world_painter(cases)), _gallery(reader, cases)
    doubles = look(reader, two := pair_cases(pairs), world_painter(two))
    trio, both = Trio(singles, None, singles), Trio(doubles, None, doubles)
    rows, table = pair_rows(both, _gallery(reader, two))
    rows = identity_rows(trio, gallery) + alignment_rows(trio) + rows
    return Measurement(
        [replace(row, ceiling=None) for row in rows], table, separation(trio, gallery), {"singles": singles, "pairs": doubles}
    )


def seed_drift(seen: Seen, seeds: int) -> np.ndarray:
    """How much two seeds of one prompt differ outside the people: the scale of drift."""
    pairs = [(i, i + 1) for i in range(0, len(seen), seeds)] if seeds > 1 else []
    images, masks = seen.images, [reading.mask for reading in seen.readings]
    return context.drifts([images[i] for i, _ in pairs], [images[j] for _, j in pairs], [(masks[i], masks[j]) for i, j in pairs])


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibel."""
    return float(-10 * np.log10(max(((first.astype(float) - second) ** 2).mean() / 255**2, 1e-10)))


def _trio(reader: Reader, cases: Sequence[Case], personal: Painter, prior: Painter | None) -> Trio:
    ceiling = look(reader, cases, world_painter(cases))
    alone = None if prior is None else look(reader, cases, once(prior, cases), clothes=True)
    return Trio(look(reader, cases, personal(cases), clothes=prior is None), alone, ceiling)


def said(name: str, found: Answers) -> Answers:
    """Only what the words say: nothing is said of missing glasses and beards (of missing hair it is)."""
    kept = [i for i, word in enumerate(found.truth) if word != NONE or name == "hair_style"]
    return Answers(*([column[i] for i in kept] for column in found))


def once(prior: Painter, cases: Sequence[Case]) -> list[Picture]:
    """The prior's pictures; cases with the same plain prompt and seed share one."""
    distinct = {(case.plain, case.seed): case for case in cases}
    drawn = dict(zip(distinct, prior(list(distinct.values())), strict=True))
    return [drawn[case.plain, case.seed] for case in cases]


def _gallery(reader: Reader, cases: Sequence[Case]) -> Seen:
    known = gallery_cases(cases)
    return look(reader, known, world_painter(known))


def _agreement(before: Seen, after: Seen, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Whether an attribute reads alike before and after, over the subjects on whom it is visible and who were found before; and clusters."""
    head = "hat" if name == "hat_color" else name
    rows = zip(before.flat, after.flat, before.labels, before.flat_clusters, strict=True)
    found = [(b is not None and a.words[name] == b.words[name], cluster) for a, b, seen, cluster in rows if a is not None and head in seen]
    return np.array([same for same, _ in found], float), np.array([cluster for _, cluster in found], int)
