"""The picture world as a dataset: every example is a pure function of (seed, split, index)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from torch.utils.data import Dataset

from moa.data.world.captions import Layout, caption, caption_scene
from moa.data.world.compose import Placed, arrange, compose, figure_mask, mask_box
from moa.data.world.draws import pick
from moa.data.world.figures import Identity, State
from moa.data.world.references import render_reference
from moa.data.world.scenes import draw_scene, scene_names
from moa.data.world.sprites import cache_folder, sprite
from moa.data.world.subjects import CLASSES, KINDS, SPLITS, identity, labels, looks, one_of
from moa.data.world.visibility import visible_labels

EMPTY = 0.035  # share of scenes without a subject
PEOPLE = 0.7  # share of people among subjects
PLACEHOLDERS = ("all", "some", "none")


@dataclass(frozen=True, slots=True)
class SubjectView:
    """One subject of an example. `labels`: attributes one can see in the example's picture, in words.

    `references`: pictures (uint8, h w 3) of the same identity in another state, with a mask (bool, h w) each.
    `placeholder`: whether the prompt says `<name>`; if not it says the subject in words.
    """

    name: str
    noun: str
    identity: Identity
    state: State
    references: tuple[np.ndarray, ...]
    reference_masks: tuple[np.ndarray, ...]
    labels: dict[str, str]
    placeholder: bool


@dataclass(frozen=True, slots=True)
class WorldExample:
    """A picture and everything known about it.

    `masks`: visible pixels of each subject. `boxes`: (left, top, right, bottom), exclusive, pixels, of these masks.
    `prompt`: the caption with `<s1>` in place of noun and identity. `scene`: a name of `scene_names()`.
    """

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    prompt: str
    masks: Bool[np.ndarray, "s h w"]
    boxes: tuple[tuple[int, int, int, int], ...]
    subjects: tuple[SubjectView, ...]
    scene: str


class World(Dataset[WorldExample]):
    """Pictures of one to three subjects in a scene, with captions, prompts, masks, references and labels."""

    def __init__(
        self,
        split: str = "train",
        *,
        seed: int = 0,
        size: int = 128,
        kinds: Sequence[str] = KINDS,
        count: Sequence[int] = (1, 2, 3),
        weights: Sequence[float] = (0.45, 0.35, 0.2),
        references: int = 0,
        placeholders: str = "all",
        length: int = 100_000,
        identities: int = 4000,
        looks: int = 4,
        empty: float = EMPTY,
        left_to_right: bool = False,
        cache: str | Path | None = "default",
    ) -> None:
        """`size` in pixels; `weights` of the counts; `references` of each subject; `empty`: share of bare scenes.

        `identities` (people; a quarter of it of every other kind) and `looks` of each bound the number of sprites, so
        that the cache gets warm. `cache`: folder of sprites, "default" (`cache_folder()`) or None (memory only);
        pictures do not depend on it. `left_to_right`: captions that do not say who stands where name the figures in that
        order (else in any). `placeholders`: "all", "some" (a random part of an example's subjects) or "none".
        ValueError for anything else.
        """
        one_of("split", split, SPLITS)
        one_of("placeholders", placeholders, PLACEHOLDERS)
        for kind in kinds:
            one_of("kind", kind, tuple(CLASSES))
        if not kinds or not count or not set(count) <= {1, 2, 3} or len(weights) != len(count):
            raise ValueError(
                f"got kinds {kinds}, count {count}, weights {weights}; allowed are some kinds and counts of 1 to 3 "
                "with a weight each; pass such"
            )
        if not 0 <= references < looks:
            raise ValueError(
                f"got {references} references; allowed are 0 to {looks - 1} with {looks} looks; ask for fewer or raise looks (at most 6)"
            )
        self.split, self.seed, self.size, self.kinds, self.count = split, seed, size, tuple(kinds), tuple(count)
        self.weights = np.asarray(weights, float) / sum(weights)
        self.references, self.placeholders, self.length = references, placeholders, length
        self.identities, self.looks, self.empty, self.left_to_right = identities, looks, empty, left_to_right
        self.cache = cache_folder() if cache == "default" else None if cache is None else Path(cache)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> WorldExample:
        if not -self.length <= index < self.length:
            raise IndexError(f"got index {index}; allowed are 0 to {self.length - 1}; pass one of these")
        return self.example(index % self.length)

    def example(self, index: int) -> WorldExample:
        """Example number `index` (0 or more; may exceed the length)."""
        key = [self.seed, SPLITS.index(self.split), index]
        rng, words, second = (np.random.default_rng([*key, stage]) for stage in range(3))
        scene = pick(rng, scene_names())
        background = draw_scene(rng, scene, self.size)
        if rng.random() < self.empty:
            text, none = caption_scene(words, scene), np.zeros((0, self.size, self.size), bool)
            return WorldExample(background, text, text, none, (), (), scene)
        cast = self._cast(rng)
        chosen = [(identity(self.split, i, kind), self._looks(i, kind)[look]) for kind, i, look in cast]
        sprites = [sprite(who, state, self.cache) for who, state in chosen]
        places, order, masks = arrange(rng, sprites, [type(who) for who, _ in chosen], self.size)
        figures = [figure_mask(place, self.size, self.size) for place in places]
        seen = [visible_labels(type(w), labels(w, s), m, f) for (w, s), m, f in zip(chosen, masks, figures, strict=True)]
        named = self._named(words, len(cast))
        names = [f"s{i + 1}" if is_named else None for i, is_named in enumerate(named)]
        said = [(who, state, see) for (who, state), see in zip(chosen, seen, strict=True)]
        text, prompt = caption(words, said, _layout(places, order, figures), scene, names, ordered=self.left_to_right)
        views = []
        for i, ((kind, number, look), (who, state)) in enumerate(zip(cast, chosen, strict=True)):
            pictures, own_masks = self._references(second, kind, number, look)
            views.append(SubjectView(f"s{i + 1}", who.noun, who, state, pictures, own_masks, seen[i], named[i]))
        boxes = tuple(mask_box(mask) for mask in masks)
        return WorldExample(compose(background, places, order), text, prompt, masks, boxes, tuple(views), scene)

    def _looks(self, number: int, kind: str) -> tuple[State, ...]:
        return looks(self.split, number, kind, self.looks)

    def _cast(self, rng: np.random.Generator) -> list[tuple[str, int, int]]:
        """Who appears: (kind, identity, look), no identity twice."""
        share = np.array([PEOPLE if kind == "person" else (1 - PEOPLE) / 3 for kind in self.kinds])
        cast: dict[tuple[str, int], int] = {}
        count = int(rng.choice(self.count, p=self.weights))
        while len(cast) < count:
            kind = self.kinds[int(rng.choice(len(self.kinds), p=share / share.sum()))]
            pool = self.identities if kind == "person" else max(1, self.identities // 4)
            cast.setdefault((kind, int(rng.integers(pool))), int(rng.integers(self.looks)))
        return [(kind, number, look) for (kind, number), look in cast.items()]

    def _named(self, rng: np.random.Generator, count: int) -> list[bool]:
        some = rng.permutation(count) < 1 + rng.integers(count)
        return {"all": [True] * count, "none": [False] * count, "some": some.tolist()}[self.placeholders]

    def _references(
        self, rng: np.random.Generator, kind: str, number: int, look: int
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Pictures and masks of the same identity in looks other than the given one."""
        if not self.references:
            return (), ()
        others = rng.permutation([i for i in range(self.looks) if i != look])[: self.references]
        who, states = identity(self.split, number, kind), self._looks(number, kind)
        pairs = [
            render_reference(rng, sprite(who, states[i], self.cache), self.size, close_ups=who.close_ups, sunk=who.sunk) for i in others
        ]
        return tuple(zip(*pairs, strict=True))


def _layout(places: list[Placed], order: list[int], figures: list[np.ndarray]) -> Layout:
    """Left to right by the middle of the figures, and who is behind whom (at least 8 % of its figure covered)."""
    boxes = [mask_box(figure) for figure in figures]
    middles = [left + right for left, _, right, _ in boxes]
    behind = [
        (back, front)
        for i, back in enumerate(order)
        for front in order[i + 1 :]
        if (figures[back] & figures[front]).sum() >= 0.08 * figures[back].sum()
    ]
    return Layout(tuple(int(i) for i in np.argsort(middles, kind="stable")), tuple(behind))
