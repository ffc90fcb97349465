"""What is asked of a model: which held-out people, in which prompts, with which seeds. Everything follows from the case's number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from PIL import Image

from moa.data.world import (
    KINDS,
    Identity,
    State,
    cache_folder,
    compose_prompt,
    identity,
    labels,
    looks,
    render_reference,
    scene_names,
    sprite,
)
from moa.data.world.captions import enumerate_words, with_articles
from moa.data.world.compose import arrange, compose
from moa.data.world.draws import color_word, phrase
from moa.data.world.people import JACKET_OUTFITS, SHIRT_OUTFITS, PersonState
from moa.data.world.scenes import draw_scene
from moa.data.world.words import JACKET_COLORS, OUTFITS, PERSON_MOUTHS, SHIRT_COLORS, TROUSER_COLORS
from moa.prompt.placeholders import fill, names_in

SPLIT = "test"
OTHERS = KINDS[1:]  # the kinds of subjects that are no people
CLOTHES = (*SHIRT_OUTFITS, *SHIRT_OUTFITS, *JACKET_OUTFITS)  # outfits asked for in turn: two in three show the shirt
MOUTHS = ("smile", "laugh", "frown", "ooh", "tongue", "bigSmile")  # one for each word of an expression
FIRST_SEED = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One subject of a case: who (its number among the held-out ones of its kind), in which state the text puts it, and its reference."""

    number: int
    state: State
    kind: str = "person"

    @property
    def person(self) -> Identity:
        """Who it is."""
        return identity(SPLIT, self.number, self.kind)

    @property
    def labels(self) -> dict[str, str]:
        """Everything one would see on a right picture, in words."""
        return labels(self.person, self.state)

    def reference(self) -> Image.Image:
        """A picture of the person in other clothes and with another face, as a user would give it."""
        other = next(look for look in looks(SPLIT, self.number, self.kind) if look.differs(self.state))
        rng = np.random.default_rng([5, self.number])
        return Image.fromarray(render_reference(rng, sprite(self.person, other, cache_folder()))[0])


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to draw. `prompt` says `<s1>`, `<s2>` for the parts, all of one kind; `seed` is of the noise."""

    parts: tuple[Part, ...]
    scene: str
    prompt: str
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders' names."""
        return tuple(f"s{i}" for i in range(1, len(self.parts) + 1))

    @property
    def kind(self) -> str:
        """What the subjects are."""
        return self.parts[0].kind

    @property
    def cluster(self) -> int:
        """The same for cases whose pictures are no independent draws: they start from one noise, and ask for one scene and clothes."""
        return self.seed

    @property
    def plain(self) -> str:
        """The prompt as the prior reads it."""
        return fill(self.prompt, dict.fromkeys(names_in(self.prompt), self.kind)).text

    def render(self) -> np.ndarray:
        """The picture as the world itself draws it: what a perfect model might answer (uint8, h w 3)."""
        rng = np.random.default_rng([6, self.seed])
        sprites = [sprite(part.person, part.state, cache_folder()) for part in self.parts]
        places, order, _ = arrange(rng, sprites, [type(part.person) for part in self.parts], 128)
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


def pair_cases(count: int, *, together: int = 2) -> list[Case]:
    """Two people (or three) in one picture, in shirts of different colours, so that one can tell whom the text meant where."""
    cases = []
    for k in range(count):
        rng = np.random.default_rng([together, k])
        colors = rng.permutation(list(SHIRT_COLORS))[:together]
        states = [
            replace(asked_state(rng, k), outfit=_turn(SHIRT_OUTFITS, together * k + i, 4), shirt=SHIRT_COLORS[c][0])
            for i, c in enumerate(colors)
        ]
        scene = _turn(scene_names(), k, 5)
        texts = [f"<s{i}> wearing {clothes_words(state)}" for i, state in enumerate(states, 1)]
        parts = tuple(Part(together * k + i, state) for i, state in enumerate(states))
        cases.append(Case(parts, scene, compose_prompt(texts, scene), FIRST_SEED + 5000 * (together - 1) + k))
    return cases


def other_cases(count: int) -> list[Case]:
    """A robot, a creature and a plant in turn, `count` of each, in words alone: "a teal robot with a fin, vents and black legs ..."."""
    cases = []
    for k, (turn, kind) in enumerate(product(range(count), OTHERS)):
        part = Part(turn, looks(SPLIT, turn, kind)[0], kind)
        details = enumerate_words(list(part.person.phrases().values()))
        text = f"a {part.person.nouns()[1]}" + (f" with {details}" if details else "")
        scene = _turn(scene_names(), turn, 6)
        cases.append(Case((part,), scene, with_articles(compose_prompt([text], scene)), FIRST_SEED + 15_000 + k))
    return cases


def reseeded(cases: Sequence[Case], seeds: int) -> list[Case]:
    """Each case with `seeds` seeds, its own first."""
    return [replace(case, seed=case.seed + 20_000 * i) for case in cases for i in range(seeds)]


def worded(case: Case) -> Case:
    """The same picture asked of the prior in words alone: "a person with a red mohawk and glasses, wearing a green hoodie ...".

    Of each of three people only hair and skin are said: captions that the prior learned from say no more of them.
    """
    details = ("hair_style", "skin") if len(case.parts) > 2 else ("hair_style", "glasses", "beard", "skin")
    prompt = case.prompt
    for name, part in zip(case.names, case.parts, strict=True):
        said = part.person.phrases()
        parts = [said[key] for key in details if key in said]
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
