"""Captions and prompts: visible attributes in plain words, with dropped details, changing order and paraphrase."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moa.data.world.draws import pick
from moa.data.world.figures import Identity, State
from moa.data.world.scenes import SCENES

ADJECTIVES = ("smiling", "laughing", "frowning", "grinning", "surprised", "sleepy", "winking", "angry", "starry-eyed")
BARE = 0.17  # share of captions without a detail: "a person in the snow"
SCENELESS = 0.06  # share of captions that leave the scene out
MOST_WORDS = 48  # said of all figures together; places and the scene add at most thirteen
NUMBERS = {2: "two", 3: "three"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a caption says of one figure: a noun with its adjective, then identity, clothes and face."""

    noun: str
    adjective: str
    parts: tuple[str, ...]
    clothes: tuple[str, ...]
    acts: tuple[str, ...]
    clothes_first: bool

    def text(self, name: str | None = None) -> str:
        """The words; with a name, the name stands for noun and identity: "<s1> wearing a green hoodie, laughing"."""
        wearing = f"wearing {enumerate_words(self.clothes)}" if self.clothes else ""
        acts = self.acts
        if name is None:
            head = f"a {self.adjective} {self.noun}" if self.adjective else f"a {self.noun}"
            parts = f"with {enumerate_words(self.parts)}" if self.parts else ""
        else:
            head, parts = f"<{name}>", ""
            acts = ((self.adjective,) if self.adjective else ()) + acts
        details = [d for d in ((wearing, parts) if self.clothes_first else (parts, wearing)) if d]
        details += [act for act in acts if not act.startswith("with ")]
        if features := [act.removeprefix("with ") for act in acts if act.startswith("with ")]:
            details.append(f"with {enumerate_words(features)}")
        first = f" {details[0]}" if details else ""
        return head + first + "".join(f", {d}" for d in details[1:])


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the figures are: indices from left to right, and (behind, in front) pairs that overlap."""

    left_to_right: tuple[int, ...]
    behind: tuple[tuple[int, int], ...] = ()


def enumerate_words(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"; with a comma before the last "and" where an item has commas of its own."""
    if len(items) < 2:
        return "".join(items)
    comma = "," if any("," in item for item in items) else ""
    return f"{', '.join(items[:-1])}{comma} and {items[-1]}"


def with_articles(text: str) -> str:
    """The text with "a" before a vowel sound turned into "an"."""
    return re.sub(r"\ba (?=[aeiou])(?!one)", "an ", text)


def _keep(rng: np.random.Generator, phrases: dict[str, str], seen: dict[str, str], rate: float) -> list[str]:
    kept = [words for key, words in phrases.items() if key in seen and rng.random() < rate]
    return [kept[i] for i in rng.permutation(len(kept))]


def say(rng: np.random.Generator, who: Identity, state: State, seen: dict[str, str], rate: float, most: int) -> Said:
    """Choose what to say of a figure: each visible detail with probability `rate`, `most` identity details at most."""
    nouns = who.nouns() if rate > 0 or rng.random() < 0.5 else who.nouns()[:1]
    if who.noun != "person" and not {"body_color", "plant"} & set(seen):
        nouns = nouns[:1]
    parts = _keep(rng, who.phrases(), seen, rate)[:most]
    acts = _keep(rng, state.acts(who), seen, rate)
    adjective = acts.pop(0) if acts and acts[0] in ADJECTIVES and rng.random() < 0.35 else ""
    clothes = _keep(rng, state.clothes(who), seen, rate)
    return Said(pick(rng, nouns), adjective, tuple(parts), tuple(clothes), tuple(acts), bool(rng.random() < 0.3))


def _sides(texts: Sequence[str], places: Sequence[str]) -> str:
    if any("," in text for text in texts):
        return enumerate_words([f"{place} {text}" for place, text in zip(places, texts, strict=True)])
    return enumerate_words([f"{text} {place}" for place, text in zip(places, texts, strict=True)])


def _counted(said: Sequence[Said], plurals: Sequence[str]) -> str:
    """ "two people and a robot" for figures without a detail; their order is that of first mention."""
    groups = {many: [s for s, p in zip(said, plurals, strict=True) if p == many] for many in dict.fromkeys(plurals)}
    return enumerate_words([f"{NUMBERS[len(g)]} {many}" if len(g) > 1 else g[0].text() for many, g in groups.items()])


def _pair(texts: Sequence[str], layout: Layout, form: float) -> str:
    left, right = (texts[i] for i in layout.left_to_right)
    if layout.behind and form < 0.25:
        back, front = (texts[i] for i in layout.behind[0])
        return f"{back}, behind {front}" if form < 0.12 else f"{front}, in front of {back}"
    if form < 0.55:
        return enumerate_words(texts)
    if form < 0.7:
        return f"{texts[0]} next to {texts[1]}"
    if form < 0.85:
        return _sides((left, right), ("on the left", "on the right"))
    return f"{left} to the left of {right}" if form < 0.93 else f"{right} to the right of {left}"


def arrange_words(texts: Sequence[str], layout: Layout, form: float) -> str:
    """The figures' texts in one sentence; `form` in [0, 1) chooses among ways that are true of the layout."""
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return _pair(texts, layout, form)
    row = [texts[i] for i in layout.left_to_right]
    if form < 0.6:
        return enumerate_words(texts)
    if form < 0.8:
        return f"from left to right {enumerate_words(row)}"
    return _sides(row, ("on the left", "in the middle", "on the right"))


def in_scene(text: str, scene: str, first: bool = False) -> str:
    """The text with its scene's words ("in the snow") before or after; no words, no scene."""
    if not scene:
        return text
    if first:
        return f"{scene}, {text}"
    return f"{text}{',' if ',' in text else ''} {scene}"


def caption_scene(rng: np.random.Generator, scene: str) -> str:
    """The caption of an empty scene."""
    text = pick(rng, SCENES[scene].nouns)
    return with_articles(f"{pick(rng, ('', '', 'an empty landscape, '))}{text}")


def caption(
    rng: np.random.Generator,
    figures: Sequence[tuple[Identity, State, dict[str, str]]],
    layout: Layout,
    scene: str,
    names: Sequence[str | None],
    *,
    ordered: bool = False,
) -> tuple[str, str]:
    """A caption, and the prompt that says the same with `<name>` for every figure that has a name.

    Each figure comes as (identity, state, visible labels). Caption and prompt share every choice: what is said, the
    order (left to right if `ordered`), the scene's words. Identity details of named figures are left out of the prompt.
    """
    bare = rng.random() < BARE
    rate = 0.0 if bare else float(rng.choice((0.4, 0.7, 0.95)))
    most = {1: 5, 2: 3, 3: 2}[len(figures)]
    said = [say(rng, who, state, seen, rate, most) for who, state, seen in figures]
    while sum(len(one.text().split()) for one in said) > MOST_WORDS:
        rate *= 0.8
        said = [say(rng, who, state, seen, rate, most) for who, state, seen in figures]
    order = rng.permutation(len(figures))
    if ordered:
        order = np.array(layout.left_to_right)
    where = Layout(
        tuple(int(np.argsort(order)[i]) for i in layout.left_to_right),
        tuple((int(np.argsort(order)[a]), int(np.argsort(order)[b])) for a, b in layout.behind),
    )
    form, first, counted = rng.random(), bool(rng.random() < 0.2), bool(rng.random() < 0.7)
    words = "" if rng.random() < SCENELESS else pick(rng, SCENES[scene].phrases[: 1 if rng.random() < 0.5 else None])
    plain = arrange_words([said[i].text() for i in order], where, form)
    if bare and counted and len(figures) > 1:
        plain = _counted([said[i] for i in order], [figures[i][0].plural for i in order])
    named = arrange_words([said[i].text(names[i]) for i in order], where, form)
    return with_articles(in_scene(plain, words, first)), with_articles(in_scene(named, words, first))


def describe_state(state: State, identity: Identity) -> str:
    """All of a state in words, to follow a name: "wearing a green hoodie and blue trousers, laughing"."""
    clothes, acts = tuple(state.clothes(identity).values()), tuple(state.acts(identity).values())
    return ", ".join((*((f"wearing {enumerate_words(clothes)}",) if clothes else ()), *acts))


def compose_prompt(subjects: Sequence[str], scene: str = "") -> str:
    """A prompt from ready subject texts ("<s1> wearing a green hoodie") and a scene's name; ValueError if unknown."""
    if scene and scene not in SCENES:
        raise ValueError(f"scene is {scene!r}; allowed are {', '.join(SCENES)}; pass one of these, or nothing")
    return in_scene(enumerate_words(subjects), SCENES[scene].phrases[0] if scene else "")
