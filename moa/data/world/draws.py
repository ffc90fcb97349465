"""Small draws and look-ups that every subject class shares."""

from collections.abc import Mapping, Sequence

import numpy as np

Table = Mapping[str, tuple[str, ...]]


def pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """One of the choices, uniformly."""
    return choices[int(rng.integers(len(choices)))]


def pick_color(rng: np.random.Generator, table: Table) -> str:
    """One colour (hex) of a table: uniform over the words, then over the colours of the word."""
    return pick(rng, table[pick(rng, tuple(table))])


def maybe(rng: np.random.Generator, choices: Sequence[str], probability: float) -> str:
    """One of the choices with this probability, else "none"."""
    return pick(rng, choices) if rng.random() < probability else "none"


def color_word(table: Table, color: str) -> str:
    """The word of a colour (hex) in its table; ValueError if the table has no such colour."""
    for word, colors in table.items():
        if color in colors:
            return word
    raise ValueError(f"got colour {color!r}; allowed are {sorted(sum(table.values(), ()))}; take one of these")


def color_distance(first: str, second: str) -> float:
    """Euclidean distance of two colours (hex) in sRGB steps, 0 to 442."""
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return sum((a - b) ** 2 for a, b in pairs) ** 0.5


def optional(part: str, variant: str) -> dict[str, str | int]:
    """Renderer options of a part that may be missing ("none")."""
    if variant == "none":
        return {f"{part}Probability": 0}
    return {f"{part}Variant": variant, f"{part}Probability": 100}


def phrase(template: str, color: str = "") -> str:
    """A template with its colour word put in (or left out) and the article agreeing: "an orange coat"."""
    words = template.replace("{c}", color).split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0] in "aeiou":
            words[i] = "an"
    return " ".join(words)
