"""Identities and their states: which exist in which split, by hash, and which looks each one has."""

import hashlib
from functools import lru_cache

import numpy as np

from moa.data.world.busts import Bust, BustState
from moa.data.world.creatures import Creature, CreatureState
from moa.data.world.figures import Identity, State
from moa.data.world.people import Person, PersonState
from moa.data.world.plants import Plant, PlantState
from moa.data.world.robots import Robot, RobotState

KINDS = ("person", "robot", "creature", "plant")  # what the embedded prior, its encoder and the reader learn from
SPLITS = ("train", "validation", "test")
CLASSES: dict[str, tuple[type[Identity], type[State]]] = {  # a class's place seeds its draws: a new one comes last
    "person": (Person, PersonState),
    "robot": (Robot, RobotState),
    "creature": (Creature, CreatureState),
    "plant": (Plant, PlantState),
    "bust": (Bust, BustState),
}


def one_of(name: str, given: str, allowed: tuple[str, ...]) -> None:
    """ValueError unless the given word is allowed."""
    if given not in allowed:
        raise ValueError(f"{name} is {given!r}; allowed are {', '.join(allowed)}; pass one of these")


def split_of(identity: Identity) -> str:
    """The split an identity belongs to: a stable hash of its conspicuous attributes, 80 / 10 / 10 %.

    It depends on the identity alone: no combination of, say, top, hair colour, skin, beard and glasses is in two.
    """
    digest = hashlib.sha256("|".join((identity.noun, *identity.key)).encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % 100
    return "train" if bucket < 80 else "validation" if bucket < 90 else "test"


def _rng(stream: int, split: str, kind: str, index: int) -> np.random.Generator:
    return np.random.default_rng([stream, SPLITS.index(split), tuple(CLASSES).index(kind), index])


@lru_cache(maxsize=65536)
def identity(split: str, index: int, kind: str = "person") -> Identity:
    """Identity number `index` of a kind in a split. ValueError for an unknown split or kind."""
    one_of("split", split, SPLITS)
    one_of("kind", kind, tuple(CLASSES))
    rng = _rng(20240, split, kind, index)
    while split_of(found := CLASSES[kind][0].sample(rng)) != split:
        pass
    return found


@lru_cache(maxsize=65536)
def looks(split: str, index: int, kind: str = "person", count: int = 4) -> tuple[State, ...]:
    """The `count` states of identity `index`, pairwise different (outfit and mouth for people). ValueError above 6."""
    if not 1 <= count <= 6:
        raise ValueError(f"got {count} looks; allowed are 1 to 6; pass a number in this range")
    who = identity(split, index, kind)
    rng = _rng(20241, split, kind, index)
    found: list[State] = []
    while len(found) < count:
        state = CLASSES[kind][1].sample(rng, who)
        if all(state.differs(other) for other in found):
            found.append(state)
    return tuple(found)


def labels(who: Identity, state: State) -> dict[str, str]:
    """Every attribute one can see on the picture, in words, identity and state together."""
    return who.labels() | state.labels(who)
