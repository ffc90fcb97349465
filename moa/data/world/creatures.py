"""Creatures, drawn by the CC0 styles "critters" and "clay": identity (who) and state (what the text says)."""

from dataclasses import dataclass

import numpy as np

from moa.data.world import words
from moa.data.world.draws import color_word, maybe, optional, phrase, pick, pick_color
from moa.data.world.figures import Identity, State

STYLES = ("critters", "clay")
BODIES = {
    "critters": (
        *("dome", "block", "tower", "chimney", "squat", "blob", "round"),
        *("tilt", "lean", "peak", "bell", "wedge", "wedgeInv", "steps"),
    ),
    "clay": (
        *("pear", "boulder", "loaf", "column", "stack", "gumdrop", "dollop"),
        *("slug", "egg", "blob", "bell", "cube", "squat", "lean"),
    ),
}
TOPS = {
    "critters": {
        "horns": "{c} horns",
        "hornsIn": "{c} horns",
        "hornsSmall": "small {c} horns",
        "spike": "a {c} spike",
        "antenna": "a {c} antenna",
        "antennae": "two {c} antennas",
        "earsRound": "round {c} ears",
        "earsPointy": "pointed {c} ears",
        "earsDroop": "drooping {c} ears",
        "spikes": "{c} spikes",
        "fin": "a {c} fin",
        "crown": "a {c} crown",
        "sprout": "a {c} sprout",
        "bobble": "a {c} bobble",
    },
    "clay": {
        "horns": "horns",
        "curl": "a {c} curl",
        "spikes": "spikes",
        "antenna": "two {c} antennas",
        "loop": "a {c} loop",
        "peak": "a peak",
        "ears": "round ears",
        "crest": "a {c} crest",
        "swirl": "a swirl",
        "hornsSmall": "small horns",
    },
}
PATTERNS = {
    "critters": ("belly", "dots", "speckles", "bar", "bars", "spot", "stripes", "dotRow", "chevron", "ring"),
    "clay": ("spiral", "prints", "pellets", "buttons", "stitches", "patch", "coil", "freckles", "checker", "zig"),
}
EYES = {  # by number of eyes: what the style calls them, and the word for it
    "critters": {
        "one": {"mono": "", "monoSleepy": "sleepy"},
        "two": {
            "round": "",
            "bigPupils": "",
            "dots": "",
            "wide": "",
            "sideeye": "looking sideways",
            "happy": "with happy eyes",
            "closedLine": "with closed eyes",
            "wink": "winking",
            "sleepy": "sleepy",
            "angry": "angry",
        },
        "three": {"trio": "", "threeRow": ""},
    },
    "clay": {
        "one": {"mono": ""},
        "two": {"googly": "", "even": "", "big": "", "dots": "", "happy": "with happy eyes", "wink": "winking"},
        "three": {"trio": ""},
    },
}
MOUTHS = {
    "critters": {
        "smile": "smiling",
        "laugh": "laughing",
        "grin": "laughing",
        "teeth": "grinning",
        "ooh": "surprised",
        "line": "",
        "wavy": "",
        "catMouth": "",
        "zigzag": "",
        "frown": "frowning",
        "sad": "frowning",
        "tongue": "sticking out the tongue",
        "open": "surprised",
        "tooth": "",
    },
    "clay": {
        "smile": "smiling",
        "smileBig": "smiling",
        "laugh": "laughing",
        "grin": "grinning",
        "toothy": "grinning",
        "open": "laughing",
        "o": "surprised",
        "line": "",
        "wavy": "",
        "cat": "",
        "zigzag": "",
        "frown": "frowning",
        "tongue": "sticking out the tongue",
    },
}


def _palette(style: str) -> dict[str, tuple[str, ...]]:
    return words.CLAY_COLORS if style == "clay" else words.PASTEL_COLORS


@dataclass(frozen=True, slots=True)
class Creature(Identity):
    """Which creature it is. Colours are hex; a missing part is "none"; `eyes` is their number in words."""

    style: str
    shape: str
    body: str
    accent: str
    top: str
    pattern: str
    eyes: str
    noun, plural = "creature", "creatures"
    height = 0.82

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Creature":
        """One creature; seven in ten have two eyes."""
        style = pick(rng, STYLES)
        return cls(
            style=style,
            shape=pick(rng, BODIES[style]),
            body=pick_color(rng, _palette(style)),
            accent=pick_color(rng, _palette(style)),
            top=maybe(rng, tuple(TOPS[style]), 0.9),
            pattern=maybe(rng, PATTERNS[style], 0.5),
            eyes=str(rng.choice(("one", "two", "three"), p=(0.15, 0.7, 0.15))),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What decides the split."""
        return (self.style, self.shape, *self.labels().values())

    def labels(self) -> dict[str, str]:
        """Visible identity attributes in words; the accent's colour only where the top is drawn in it."""
        out = {"material": "clay" if self.style == "clay" else "smooth", "eye_count": self.eyes, "top": self.top}
        out["body_color"] = color_word(_palette(self.style), self.body)
        if self.top != "none" and "{c}" in TOPS[self.style][self.top]:
            out["accent_color"] = color_word(_palette(self.style), self.accent)
        return out

    def phrases(self) -> dict[str, str]:
        """What can be said about the identity, by the label it tells, each to follow "with"."""
        out = {}
        if self.top != "none":
            out["top"] = phrase(TOPS[self.style][self.top], self.labels().get("accent_color", ""))
        return out | {"one": {"eye_count": "one eye"}, "two": {}, "three": {"eye_count": "three eyes"}}[self.eyes]

    def nouns(self) -> tuple[str, ...]:
        """Ways to name it: the plain noun first."""
        color = self.labels()["body_color"]
        clay = (f"{color} clay creature",) if self.style == "clay" else ()
        return ("creature", f"{color} creature", *clay)


@dataclass(frozen=True, slots=True)
class CreatureState(State):
    """The creature's face; `flip` mirrors left and right; creatures stand straight (`rotation` 0)."""

    look: str
    mouth: str
    flip: bool
    rotation: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, identity: Creature) -> "CreatureState":
        """One state out of those that the creature's eyes allow."""
        look = pick(rng, tuple(EYES[identity.style][identity.eyes]))
        return cls(look=look, mouth=pick(rng, tuple(MOUTHS[identity.style])), flip=bool(rng.integers(2)))

    def differs(self, other: "CreatureState") -> bool:
        """Whether the mouths differ (a one-eyed creature has one pair of eyes only)."""
        return self.mouth != other.mouth

    def options(self, identity: Creature) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""
        ink = "#44403c" if identity.style == "clay" else "#1e293b"
        still = {"cheeksProbability": 0} if identity.style == "critters" else {}
        return {
            "bodyColor": identity.body,
            "accentColor": identity.accent,
            "inkColor": ink,
            "bodyVariant": identity.shape,
            "eyesVariant": self.look,
            "mouthVariant": self.mouth,
            **optional("top", identity.top),
            **optional("pattern", identity.pattern),
            **still,
        }

    def labels(self, identity: Creature) -> dict[str, str]:
        """Visible state attributes in words."""
        words_ = {
            "expression": MOUTHS[identity.style][self.mouth],
            "eyes": EYES[identity.style][identity.eyes][self.look],
        }
        return {key: word for key, word in words_.items() if word}

    def clothes(self, identity: Creature) -> dict[str, str]:
        """Creatures wear nothing."""
        return {}

    def acts(self, identity: Creature) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
        return self.labels(identity)
