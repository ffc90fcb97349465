"""People, drawn by the CC0 style "voxel-art": identity (who) and state (what the text says)."""

from dataclasses import dataclass

import numpy as np

from moa.data.world import words
from moa.data.world.draws import color_distance, color_word, maybe, optional, phrase, pick, pick_color
from moa.data.world.figures import Identity, State

TOPS = (*words.HAIR_STYLES, *words.HATS, "none")
NOSES = ("block", "wide", "small", "tall")
EYEBROWS = ("flat", "raised", "angry", "soft")
CHEEKS = ("blush", "pixel", "freckles")
SHIRT_OUTFITS = ("plain", "stripes", "hoodie", "tie")  # the shirt is what one sees
JACKET_OUTFITS = ("jacket", "suit", "coat", "dress")  # drawn in the jacket's colour
OVER_SHIRT = ("jacket", "checker", "overalls")  # a part of the shirt still shows
CONTRAST = 45  # sRGB steps between beard and skin below which a beard is not seen
HEAD, CLOTHES, LEGS = (0.0, 0.65), (0.62, 0.9), (0.85, 1.0)
BANDS = {
    **dict.fromkeys(("hair_style", "hair_color", "hat", "hat_color", "skin", "beard", "beard_color"), HEAD),
    **dict.fromkeys(("glasses", "cheeks", "expression", "eyes"), HEAD),
    **dict.fromkeys(("outfit", "outfit_color", "shirt_color", "jacket_color", "under_color"), CLOTHES),
    "trousers_color": LEGS,
}
LINE_MOUTHS = ("smile", "wideSmile", "flat", "smirk", "frown", "ooh")  # dark lines: lost in a dark full beard


@dataclass(frozen=True, slots=True)
class Person(Identity):
    """Who a person is. Colours are hex; a missing part is "none"; hat and hair colour are drawn for everyone."""

    top: str
    hair: str
    hat: str
    skin: str
    beard: str
    glasses: str
    nose: str
    eyebrows: str
    cheeks: str
    noun, plural, style = "person", "people", "voxel-art"
    close_ups, bands = True, BANDS

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Person":
        """One person; hair, beard and glasses are balanced, about half wear each of the last two."""
        return cls(
            top=pick(rng, TOPS),
            hair=pick_color(rng, words.HAIR_COLORS),
            hat=pick_color(rng, words.HAT_COLORS),
            skin=pick_color(rng, words.SKIN_COLORS),
            beard=maybe(rng, tuple(words.BEARDS), 0.5),
            glasses=maybe(rng, tuple(words.GLASSES), 0.5),
            nose=pick(rng, NOSES),
            eyebrows=pick(rng, EYEBROWS),
            cheeks=maybe(rng, CHEEKS, 0.5),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What decides the split: the combination of everything conspicuous, in words."""
        labels = self.labels()
        keys = ("hair_style", "hair_color", "hat", "hat_color", "skin", "beard", "beard_color", "glasses")
        return tuple(labels.get(key, "none") for key in keys)

    def labels(self) -> dict[str, str]:
        """Visible identity attributes in words.

        Hair colour only where hair shows, beard colour only of a real beard; a beard of the skin's own colour, stubble
        on dark skin and freckles on tan or dark skin are left out: nobody can see whether they are there.
        """
        hair, skin = color_word(words.HAIR_COLORS, self.hair), color_word(words.SKIN_COLORS, self.skin)
        out = {"skin": skin, "glasses": self.glasses}
        if self.top in words.HATS:
            out |= {"hat": self.top, "hat_color": color_word(words.HAT_COLORS, self.hat)}
        else:
            out |= {"hair_style": self.top} | ({"hair_color": hair} if self.top != "none" else {})
        if self.beard == "none" or self._beard_shows(skin):
            out["beard"] = self.beard
        if self.beard not in ("none", "stubble") and "beard" in out:
            out["beard_color"] = hair
        if self.cheeks == "freckles" and skin in ("pale", "light"):
            out["cheeks"] = "freckles"
        return out

    def _beard_shows(self, skin: str) -> bool:
        return skin != "dark" if self.beard == "stubble" else color_distance(self.hair, self.skin) >= CONTRAST

    def phrases(self) -> dict[str, str]:
        """What can be said about the identity, by the label it tells, each to follow "with"."""
        labels = self.labels()
        out = {}
        if self.top in words.HATS:
            out["hat"] = phrase(words.HATS[self.top], labels["hat_color"])
        else:
            out["hair_style"] = phrase(words.HAIR_STYLES.get(self.top, "no hair"), labels.get("hair_color", ""))
        if self.glasses != "none":
            out["glasses"] = words.GLASSES[self.glasses]
        if labels.get("beard", "none") != "none":
            color = labels["beard_color"] if self.beard == "full" and "hair_color" not in labels else ""
            out["beard"] = phrase(words.BEARDS[self.beard], color)
        out["skin"] = f"{labels['skin']} skin"
        return out | ({"cheeks": "freckles"} if "cheeks" in labels else {})

    def nouns(self) -> tuple[str, ...]:
        """Ways to name one without a detail."""
        return ("person",)


@dataclass(frozen=True, slots=True)
class PersonState(State):
    """What a person wears and does; colours are hex, `rotation` in degrees clockwise, `flip` mirrors left and right."""

    outfit: str
    shirt: str
    jacket: str
    trousers: str
    shoes: str
    eyes: str
    mouth: str
    flip: bool
    rotation: int

    @classmethod
    def sample(cls, rng: np.random.Generator, identity: Person) -> "PersonState":
        """One state; every outfit, mouth and colour word is equally likely, some eyes are rarer."""
        return cls(
            outfit=pick(rng, tuple(words.OUTFITS)),
            shirt=pick_color(rng, words.SHIRT_COLORS),
            jacket=pick_color(rng, words.JACKET_COLORS),
            trousers=pick_color(rng, words.TROUSER_COLORS),
            shoes=pick_color(rng, words.SHOE_COLORS),
            eyes=pick(rng, tuple(words.PERSON_EYES)),
            mouth=pick(rng, tuple(words.PERSON_MOUTHS)),
            flip=bool(rng.integers(2)),
            rotation=int(rng.integers(-5, 6)) if rng.random() < 0.5 else 0,
        )

    def differs(self, other: "PersonState") -> bool:
        """Whether outfit and mouth both differ: then two pictures of one person show two states."""
        return self.outfit != other.outfit and self.mouth != other.mouth

    def options(self, identity: Person) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""
        return {
            "hairColor": identity.hair,
            "hatColor": identity.hat,
            "skinColor": identity.skin,
            "shirtColor": self.shirt,
            "jacketColor": self.jacket,
            "pantsColor": self.trousers,
            "shoesColor": self.shoes,
            "outfitVariant": self.outfit,
            "eyesVariant": self.eyes,
            "mouthVariant": self.mouth,
            "noseVariant": identity.nose,
            "eyebrowsVariant": identity.eyebrows,
            "eyebrowsProbability": 100,
            **optional("top", identity.top),
            **optional("beard", identity.beard),
            **optional("glasses", identity.glasses),
            **optional("cheeks", identity.cheeks),
        }

    def labels(self, identity: Person) -> dict[str, str]:
        """Visible state attributes in words; `outfit_color` is what the outfit is called by."""
        out = {"outfit": self.outfit}
        shirt = color_word(words.SHIRT_COLORS, self.shirt)
        trousers = color_word(words.TROUSER_COLORS, self.trousers)
        if self.outfit in SHIRT_OUTFITS:
            out |= {"outfit_color": shirt, "shirt_color": shirt}
        elif self.outfit in JACKET_OUTFITS:
            out |= {"outfit_color": (jacket := color_word(words.JACKET_COLORS, self.jacket)), "jacket_color": jacket}
        elif self.outfit == "overalls":
            out["outfit_color"] = trousers
        if self.outfit in OVER_SHIRT:
            out["under_color"] = shirt
        if self.outfit not in ("dress", "coat"):
            out["trousers_color"] = trousers
        if (expression := words.PERSON_MOUTHS[self.mouth]) and not self._mouth_lost(identity):
            out["expression"] = expression
        if (eyes := words.PERSON_EYES[self.eyes]) and identity.glasses not in ("shades", "visor"):
            out["eyes"] = eyes
        return out

    def clothes(self, identity: Person) -> dict[str, str]:
        """What can be said of the clothes, by the label it tells, each to follow "wearing"."""
        labels = self.labels(identity)
        out = {"outfit": phrase(words.OUTFITS[self.outfit], labels.get("outfit_color", ""))}
        if "under_color" in labels:
            out["outfit"] += f" over {phrase('a {c} shirt', labels['under_color'])}"
        if "trousers_color" in labels and self.outfit != "overalls":
            out["trousers_color"] = f"{labels['trousers_color']} trousers"
        return out

    def acts(self, identity: Person) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
        return {k: v for k, v in self.labels(identity).items() if k in ("expression", "eyes")}

    def _mouth_lost(self, identity: Person) -> bool:
        dark = color_word(words.HAIR_COLORS, identity.hair) in ("black", "brown")
        return identity.beard == "full" and dark and self.mouth in LINE_MOUTHS
