"""The attributes that the reader reads, of each kind of subject, and their words: every figure and colour of the world by name."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int

from moa.data.world import creatures, plants, robots, words

NONE = "none"

ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "person": {
        "hair_style": (*words.HAIR_STYLES, *words.HATS, NONE),
        "hair_color": tuple(words.HAIR_COLORS),
        "hat_color": tuple(words.HAT_COLORS),
        "skin": tuple(words.SKIN_COLORS),
        "glasses": (*words.GLASSES, NONE),
        "beard": (*words.BEARDS, NONE),
        "outfit": tuple(words.OUTFITS),
        "shirt_color": tuple(words.SHIRT_COLORS),
        "jacket_color": tuple(words.JACKET_COLORS),
        "trousers_color": tuple(words.TROUSER_COLORS),
        "expression": tuple(dict.fromkeys(filter(None, words.PERSON_MOUTHS.values()))),
        "eyes": tuple(filter(None, words.PERSON_EYES.values())),
    },
    "robot": {
        "body_color": tuple(words.ROBOT_COLORS),
        "accent_color": tuple(words.METAL_COLORS),
        "top": (*robots.TOPS, NONE),
        "chest": (*robots.CHESTS, NONE),
        "glow_color": tuple(words.GLOW_COLORS),
    },
    "creature": {
        "body_color": tuple(dict.fromkeys((*words.PASTEL_COLORS, *words.CLAY_COLORS))),
        "material": ("smooth", "clay"),
        "eye_count": tuple(creatures.EYES["clay"]),
    },
    "plant": {
        "plant": tuple(plants.PLANTS),
        "pot_color": tuple(words.PASTEL_COLORS),
        "bloom_color": tuple(words.BLOOM_COLORS),
    },
}
KINDS = tuple(ATTRIBUTES)
IDENTITY = {  # the attributes that make up who it is; the others are state
    "person": ("hair_style", "hair_color", "hat_color", "skin", "glasses", "beard"),
    "robot": ("body_color", "accent_color", "top", "chest"),
    "creature": ("body_color", "material", "eye_count"),
    "plant": ("plant", "pot_color", "bloom_color"),
}
HEADS = tuple((kind, attribute) for kind, table in ATTRIBUTES.items() for attribute in table)
SIZES = tuple(len(ATTRIBUTES[kind][attribute]) for kind, attribute in HEADS)
ENDS = tuple(accumulate(SIZES))
SLICES = {head: slice(end - size, end) for head, size, end in zip(HEADS, SIZES, ENDS, strict=True)}
WORDS = ENDS[-1]  # in all heads together


def readable(kind: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A subject's labels as the reader names them: a hat counts as a hair style, what it does not read is left out."""
    labels = dict(labels)
    if "hat" in labels:
        labels["hair_style"] = labels["hat"]
    return {name: labels[name] for name in ATTRIBUTES[kind] if name in labels}


def encode(kind: str, labels: Mapping[str, str]) -> Int[np.ndarray, " a"]:
    """The number of each head's word, -1 for a head that does not apply or whose answer nobody can see."""
    seen = readable(kind, labels)
    return np.array([ATTRIBUTES[kind][name].index(seen[name]) if of == kind and name in seen else -1 for of, name in HEADS], np.int16)


def decode(kind: str, logits: Float[np.ndarray, " w"]) -> dict[str, str]:
    """The likeliest word of every attribute of a kind."""
    return {name: table[int(logits[SLICES[kind, name]].argmax())] for name, table in ATTRIBUTES[kind].items()}
