"""Potted plants, drawn by the CC0 style "sprouts": identity (who) and state (what the text says)."""

from dataclasses import dataclass

import numpy as np

from moa.data.world import words
from moa.data.world.draws import color_word, maybe, optional, pick, pick_color
from moa.data.world.figures import Identity, State

PLANTS = {
    "sprout": "sprout",
    "seedling": "seedling",
    "cactus": "cactus",
    "ball": "ball cactus",
    "succulent": "succulent",
    "bush": "bush",
    "tall": "tall plant",
    "flower": "{c} flower",
    "tulip": "{c} tulip",
    "palm": "palm",
    "grass": "tuft of grass",
    "buds": "bud plant",
}
BLOOMING = ("flower", "tulip")
POTS = ("taper", "cylinder", "bowl", "tub", "round", "bag", "rim")
PATTERNS = ("band", "dots", "stripes", "chevron", "speckles", "ring")
EYES = {
    "round": "",
    "dots": "",
    "bigPupils": "",
    "wide": "",
    "sideeye": "looking sideways",
    "happy": "with happy eyes",
    "closedLine": "with closed eyes",
    "wink": "winking",
    "sleepy": "sleepy",
    "angry": "angry",
}
MOUTHS = {
    "smile": "smiling",
    "grin": "laughing",
    "ooh": "surprised",
    "open": "surprised",
    "line": "",
    "catMouth": "",
    "wavy": "",
    "tooth": "",
    "frown": "frowning",
    "tongue": "sticking out the tongue",
}
BANDS = {
    **dict.fromkeys(("plant", "bloom_color"), (0.0, 0.5)),
    **dict.fromkeys(("pot_color", "eyes", "expression"), (0.5, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Plant(Identity):
    """Which plant it is. Colours are hex; a missing part is "none"."""

    plant: str
    leaf: str
    bloom: str
    pot: str
    pot_color: str
    pattern: str
    noun, plural, style = "plant", "plants", "sprouts"
    height, bands = 0.86, BANDS

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Plant":
        """One plant; every kind, pot and colour word is equally likely."""
        return cls(
            plant=pick(rng, tuple(PLANTS)),
            leaf=pick_color(rng, words.LEAF_COLORS),
            bloom=pick_color(rng, words.BLOOM_COLORS),
            pot=pick(rng, POTS),
            pot_color=pick_color(rng, words.PASTEL_COLORS),
            pattern=maybe(rng, PATTERNS, 0.4),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What decides the split."""
        return (self.pot, *self.labels().values())

    def labels(self) -> dict[str, str]:
        """Visible identity attributes in words; the bloom's colour only of a flower or a tulip."""
        out = {"plant": self.plant, "pot_color": color_word(words.PASTEL_COLORS, self.pot_color)}
        return out | ({"bloom_color": color_word(words.BLOOM_COLORS, self.bloom)} if self.plant in BLOOMING else {})

    def phrases(self) -> dict[str, str]:
        """What can be said about the identity, by the label it tells, each to follow "with"."""
        return {"pot_color": f"a {self.labels()['pot_color']} pot"}

    def nouns(self) -> tuple[str, ...]:
        """Ways to name it: the plain noun first."""
        name = " ".join(PLANTS[self.plant].replace("{c}", self.labels().get("bloom_color", "")).split())
        return ("plant", name, f"potted {name}" if "potted" not in name else name)


@dataclass(frozen=True, slots=True)
class PlantState(State):
    """The face on the pot; `flip` mirrors left and right; plants stand straight (`rotation` 0)."""

    eyes: str
    mouth: str
    flip: bool
    rotation: int = 0

    @classmethod
    def sample(cls, rng: np.random.Generator, identity: Plant) -> "PlantState":
        """One state; every pair of eyes and mouth is equally likely."""
        return cls(eyes=pick(rng, tuple(EYES)), mouth=pick(rng, tuple(MOUTHS)), flip=bool(rng.integers(2)))

    def differs(self, other: "PlantState") -> bool:
        """Whether eyes and mouth both differ."""
        return self.mouth != other.mouth and self.eyes != other.eyes

    def options(self, identity: Plant) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""
        return {
            "potColor": identity.pot_color,
            "plantColor": identity.leaf,
            "bloomColor": identity.bloom,
            "inkColor": "#1e293b",
            "plantVariant": identity.plant,
            "potVariant": identity.pot,
            "eyesVariant": self.eyes,
            "mouthVariant": self.mouth,
            "cheeksProbability": 0,
            **optional("pattern", identity.pattern),
        }

    def labels(self, identity: Plant) -> dict[str, str]:
        """Visible state attributes in words."""
        out = {"expression": MOUTHS[self.mouth], "eyes": EYES[self.eyes]}
        return {key: word for key, word in out.items() if word}

    def clothes(self, identity: Plant) -> dict[str, str]:
        """Plants wear nothing."""
        return {}

    def acts(self, identity: Plant) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
        return self.labels(identity)
