"""What is asked of a model: which held-out people, in which prompts, with which seeds. Everything follows from the case's number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from moa.data.world import cache_folder, compose_prompt, identity, labels, looks, render_reference, scene_names, sprite
from moa.data.world.captions import enumerate_words, with_articles
from moa.data.world.compose import arrange, compose
from moa.data.world.draws import color_word, phrase
from moa.data.world.people import JACKET_OUTFITS, SHIRT_OUTFITS, Person, PersonState
from moa.data.world.scenes import draw_scene
from moa.data.world.words import JACKET_COLORS, OUTFITS, PERSON_MOUTHS, SHIRT_COLORS, TROUSER_COLORS
from moa.prompt.placeholders import fill, names_in

SPLIT = "test"
CLOTHES = (*SHIRT_OUTFITS, *SHIRT_OUTFITS, *JACKET_OUTFITS)  # outfits asked for in turn: two in three show the shirt
MOUTHS = ("smile", "laugh", "frown", "ooh", "tongue", "bigSmile")  # one for each word of an expression
FIRST_SEED = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One subject of a case: who (its number among the held-out people), in which state the text puts it, and its reference picture."""

    number: int
    state: PersonState

    @property
    def person(self) -> Person:
        """Who it is."""
        return identity(SPLIT, self.number)

    @property
    def labels(self) -> dict[str, str]:
        """Everything one would see on a right picture, in words."""
        return labels(self.person, self.state)

    def reference(self) -> Image.Image:
        """A picture of the person in other clothes and with another face, as a user would give it."""
        other = next(look for look in looks(SPLIT, self.number) if look.differs(self.state))
        rng = np.random.default_rng([5, self.number])
        return Image.fromarray(render_reference(rng, sprite(self.person, other, cache_folder()))[0])


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to draw. `prompt` says `<s1>`, `<s2>` for the parts; `seed` is of the noise."""

    parts: tuple[Part, ...]
    scene: str
    prompt: str
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders' names."""
        return tuple(f"s{i}" for i in range(1, len(self.parts) + 1))

    @property
    def plain(self) -> str:
        """The prompt as the prior reads it."""
        return fill(self.prompt, dict.fromkeys(names_in(self.prompt), "person")).text

    def render(self) -> np.ndarray:
        """The picture as the world itself draws it: what a perfect model might answer (uint8, h w 3)."""
        rng = np.random.default_rng([6, self.seed])
        sprites = [sprite(part.person, part.state, cache_folder()) for part in self.parts]
        places, order, _ = arrange(rng, sprites, ["person"] * len(sprites), 128)
        return compose(draw_scene(rng, self.scene, 128), places, order)


def single_cases(count: int) -> list[Case]:
    """One person each. Two people in a row share prompt and seed, so that only the subject differs between them."""
    cases = []
    for k in range(0, count, 2):
        rng = np.random.default_rng([1, k])
        state, scene = asked_state(rng, k // 2), _turn(scene_names(), k // 2, 0)
        prompt = compose_prompt([f"<s1> wearing {clothes_words(state)}, {PERSON_MOUTHS[state.mouth]}"], scene)
        cases += [Case((Part(number, state),), scene, prompt, FIRST_SEED + k) for number in range(k, min(k + 2, count))]
    return cases


def pair_cases(count: int, *, first: int = 0) -> list[Case]:
    """Two people in one picture, in shirts of different colours, so that one can tell whom the text meant where."""
    cases = []
    for k in range(count):
        rng = np.random.default_rng([2, k])
        colors = rng.permutation(list(SHIRT_COLORS))[:2]
        states = [replace(asked_state(rng, k), outfit=_turn(SHIRT_OUTFITS, 2 * k + i, 4), shirt=SHIRT_COLORS[c][0]) for i, c in enumerate(colors)]
        scene = _turn(scene_names(), k, 5)
        texts = [f"<s{i}> wearing {clothes_words(state)}" for i, state in enumerate(states, 1)]
        parts = tuple(Part(first + 2 * k + i, state) for i, state in enumerate(states))
        cases.append(Case(parts, scene, compose_prompt(texts, scene), FIRST_SEED + 5000 + k))
    return cases


def reseeded(cases: Sequence[Case], seeds: int) -> list[Case]:
    """Each case with `seeds` seeds, its own first."""
    return [replace(case, seed=case.seed + 20_000 * i) for case in cases for i in range(seeds)]


def worded(case: Case) -> Case:
    """The same picture asked of the prior in words alone: "a person with a red mohawk and glasses, wearing a green hoodie ..."."""
    prompt = case.prompt
    for name, part in zip(case.names, case.parts, strict=True):
        said = part.person.phrases()
        parts = [said[key] for key in ("hair_style", "glasses", "beard", "skin") if key in said]
        prompt = prompt.replace(f"<{name}> ", f"a person with {enumerate_words(parts)}, ", 1)
    return replace(case, prompt=with_articles(prompt))


def asked_state(rng: np.random.Generator, turn: int) -> PersonState:
    """What the text will ask for: clothes, their colour and an expression, every word in its turn; ordinary eyes, upright."""
    state = PersonState.sample(rng, identity(SPLIT, 0))
    color = _turn(tuple(SHIRT_COLORS), turn, 1)
    return replace(
        state, outfit=_turn(CLOTHES, turn, 2), shirt=SHIRT_COLORS[color][0], mouth=_turn(MOUTHS, turn, 3), eyes="open", rotation=0,
    )  # fmt: skip


def clothes_words(state: PersonState) -> str:
    """ "a green hoodie"."""
    shown = {**dict.fromkeys(SHIRT_OUTFITS, (SHIRT_COLORS, state.shirt)), **dict.fromkeys(JACKET_OUTFITS, (JACKET_COLORS, state.jacket))}
    table, color = shown.get(state.outfit, (TROUSER_COLORS, state.trousers))
    return phrase(OUTFITS[state.outfit], color_word(table, color))


def _turn(words: Sequence[str], turn: int, stream: int) -> str:
    """Every word equally often, in an order of its own in each round and stream."""
    order = np.random.default_rng([3, stream, turn // len(words)]).permutation(len(words))
    return words[int(order[turn % len(words)])]
