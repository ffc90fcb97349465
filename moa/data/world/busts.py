"""Busts, people from the chest up, drawn by the CC0 style "open-peeps": identity (who) and state (what the text says)."""

from dataclasses import dataclass

import numpy as np

from moa.data.world import words
from moa.data.world.draws import color_word, maybe, optional, phrase, pick, pick_color
from moa.data.world.figures import Identity, State

INK = "#000000"  # of lines, and of all hair whose colour the style does not let one choose
COLORED_HAIR = {
    "bangs": "a {c} bob",
    "cornrows": "a braided {c} ponytail",
    "grayBun": "a {c} bun",
    "grayMedium": "a low {c} bun",
    "grayShort": "short {c} hair",
    "mediumBangs2": "wavy {c} hair",
    "mohawk": "a {c} mohawk",
    "mohawk2": "a spiky {c} mohawk",
    "noHair3": "a bald head and {c} sides",
    "short4": "side-swept {c} hair",
}
BLACK_HAIR = {
    "afro": "a {c} afro",
    "bangs2": "a straight {c} bob",
    "bantuKnots": "{c} hair knots",
    "bun": "a {c} bun and a bow",
    "bun2": "a large {c} bun",
    "buns": "{c} hair buns",
    "cornrows2": "a {c} braid",
    "dreads1": "shaggy {c} hair",
    "dreads2": "{c} dreadlocks",
    "flatTop": "a {c} flat top",
    "flatTopLong": "a tall {c} flat top",
    "long": "long {c} hair",
    "longAfro": "a large {c} afro",
    "longBangs": "long wavy {c} hair",
    "longCurly": "long curly {c} hair",
    "medium1": "a round {c} bob",
    "medium2": "shoulder-length wavy {c} hair",
    "medium3": "shoulder-length {c} hair",
    "mediumBangs": "shoulder-length parted {c} hair",
    "mediumBangs3": "shoulder-length {c} hair and bangs",
    "mediumStraight": "long straight {c} hair",
    "pomp": "a {c} quiff",
    "shaved1": "half-shaved {c} hair",
    "shaved2": "half-shaved curly {c} hair",
    "shaved3": "half-shaved spiky {c} hair",
    "short1": "short {c} hair",
    "short2": "short {c} hair",
    "short3": "short wavy {c} hair",
    "short5": "short spiky {c} hair",
    "twists": "spiky {c} twists",
    "twists2": "{c} twists",
}
BALD = {"noHair1": "no hair", "noHair2": "hardly any hair"}
HATS = {"bear": "a bear hood", "hatBeanie": "a beanie", "hatHip": "a hat", "hijab": "a hijab", "turban": "a turban"}
OTHERS = (*BLACK_HAIR, *BALD, *HATS)
BEARDS = {
    "chin": "a thin {c} beard",
    **dict.fromkeys(("full", "full2", "full4"), "a {c} beard"),
    "full3": "a large {c} beard",
    **dict.fromkeys(("goatee1", "goatee2"), "a {c} goatee"),
    **dict.fromkeys(("moustache1", "moustache4"), "a thin {c} moustache"),
    **dict.fromkeys(("moustache2", "moustache3"), "a large {c} moustache"),
    **dict.fromkeys(("moustache5", "moustache6", "moustache7", "moustache9"), "a {c} moustache"),
    "moustache8": "a very long {c} moustache",
}
COLORED_BEARDS = ("full4", "moustache9")
GLASSES = {
    "eyepatch": "an eyepatch",
    "glasses": "large glasses",
    "glasses2": "round glasses",
    "glasses3": "square glasses",
    "glasses4": "white glasses",
    "glasses5": "thick round glasses",
    **dict.fromkeys(("sunglasses", "sunglasses2"), "sunglasses"),
}
MOUTHS = {  # expressions that one reads off the mouth; the style's masks, cyclops and monster are never drawn
    **dict.fromkeys(("calm", "cute", "smile"), "smiling"),
    **dict.fromkeys(("smileBig", "smileTeethGap"), "grinning"),
    "smileLOL": "laughing",
    "solemn": "frowning",
    "explaining": "talking",
}
EYES = {  # expressions that one reads off the eyes
    **dict.fromkeys(("angryWithFang", "rage", "veryAngry"), "angry"),
    "awe": "starry-eyed",
    **dict.fromkeys(("concerned", "concernedFear"), "worried"),
    **dict.fromkeys(("contempt", "eyesClosed"), "with closed eyes"),
    "eatingHappy": "with happy eyes",
    **dict.fromkeys(("fear", "hectic"), "scared"),
    **dict.fromkeys(("lovingGrin1", "lovingGrin2"), "with heart eyes"),
    "tired": "sleepy",
}
EXPRESSIONS = (*MOUTHS, *EYES, "blank", "cheeky", "driven", "old", "serious", "suspicious")  # no word for the last ones
MOUTH_SHOWS = ("none", "chin", "full", "moustache1", "moustache4")  # with these beards, even a small mouth
EYES_HIDDEN = ("eyepatch", "sunglasses", "sunglasses2")
HEAD = ("hair_style", "hair_color", "hat", "skin", "beard", "beard_color", "glasses", "expression")


@dataclass(frozen=True, slots=True)
class Bust(Identity):
    """Who it is. Colours are hex; a missing part is "none"; a hair colour is drawn for everyone."""

    head: str
    hair: str
    skin: str
    beard: str
    glasses: str
    noun, plural, style = "bust of a person", "busts of people", "open-peeps"  # "bust" alone means nothing to the prior
    height, margin, sunk = 0.9, 0.28, 0.11  # the margin shows the chest; the lower edge of the picture cuts it
    bands = {**dict.fromkeys(HEAD, (0.0, 0.6)), "shirt_color": (0.62, 1.0)}

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Bust":
        """One bust; half have hair in a colour of their own (ten of the 48 heads do), half a beard, half glasses."""
        return cls(
            head=pick(rng, tuple(COLORED_HAIR) if rng.random() < 0.5 else OTHERS),
            hair=pick_color(rng, words.HAIR_COLORS),
            skin=pick_color(rng, words.SKIN_COLORS),
            beard=maybe(rng, tuple(BEARDS), 0.5),
            glasses=maybe(rng, tuple(GLASSES), 0.5),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What decides the split."""
        labels = self.labels()
        keys = ("hair_style", "hair_color", "hat", "skin", "beard", "beard_color", "glasses")
        return tuple(labels.get(key, "none") for key in keys)

    def labels(self) -> dict[str, str]:
        """Visible identity attributes in words; hair and beards that the style draws in ink are black."""
        hair = color_word(words.HAIR_COLORS, self.hair)
        out = {"skin": color_word(words.SKIN_COLORS, self.skin), "glasses": self.glasses, "beard": self.beard}
        out["hat" if self.head in HATS else "hair_style"] = self.head
        if self.head in COLORED_HAIR or self.head in BLACK_HAIR:
            out["hair_color"] = hair if self.head in COLORED_HAIR else "black"
        if self.beard != "none":
            out["beard_color"] = hair if self.beard in COLORED_BEARDS else "black"
        return out

    def phrases(self) -> dict[str, str]:
        """What can be said about the identity, by the label it tells, each to follow "with"."""
        labels = self.labels()
        template = (COLORED_HAIR | BLACK_HAIR | BALD | HATS)[self.head]
        out = {"hat" if self.head in HATS else "hair_style": phrase(template, labels.get("hair_color", ""))}
        if self.glasses != "none":
            out["glasses"] = GLASSES[self.glasses]
        if self.beard != "none":
            out["beard"] = phrase(BEARDS[self.beard], labels["beard_color"])
        return out | {"skin": f"{labels['skin']} skin"}

    def nouns(self) -> tuple[str, ...]:
        """Ways to name one without a detail."""
        return (self.noun,)


@dataclass(frozen=True, slots=True)
class BustState(State):
    """What a bust wears and does; `shirt` is hex, `rotation` in degrees clockwise, `flip` mirrors left and right."""

    shirt: str
    expression: str
    flip: bool
    rotation: int

    @classmethod
    def sample(cls, rng: np.random.Generator, identity: Bust) -> "BustState":
        """One state; every expression and every colour word is equally likely."""
        return cls(
            shirt=pick_color(rng, words.SHIRT_COLORS),
            expression=pick(rng, EXPRESSIONS),
            flip=bool(rng.integers(2)),
            rotation=int(rng.integers(-5, 6)) if rng.random() < 0.5 else 0,
        )

    def differs(self, other: "BustState") -> bool:
        """Whether expression and shirt both differ."""
        return self.expression != other.expression and self.shirt != other.shirt

    def options(self, identity: Bust) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""
        return {
            "headContrastColor": identity.hair,
            "skinColor": identity.skin,
            "clothingColor": self.shirt,
            "inkColor": INK,
            "headVariant": identity.head,
            "expressionVariant": self.expression,
            "maskProbability": 0,
            **optional("facialHair", identity.beard),
            **optional("accessories", identity.glasses),
        }

    def labels(self, identity: Bust) -> dict[str, str]:
        """Visible state attributes in words; a beard may hide the mouth, dark glasses the eyes."""
        out = {"shirt_color": color_word(words.SHIRT_COLORS, self.shirt)}
        shown = MOUTHS if identity.beard in MOUTH_SHOWS else {}
        shown = shown | (EYES if identity.glasses not in EYES_HIDDEN else {})
        return out | ({"expression": shown[self.expression]} if self.expression in shown else {})

    def clothes(self, identity: Bust) -> dict[str, str]:
        """What can be said of the clothes, by the label it tells, each to follow "wearing"."""
        return {"shirt_color": phrase("a {c} shirt", self.labels(identity)["shirt_color"])}

    def acts(self, identity: Bust) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
        return {key: word for key, word in self.labels(identity).items() if key == "expression"}
