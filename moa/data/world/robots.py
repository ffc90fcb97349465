"""Robots, drawn by the CC0 style "voxel-bot": identity (who) and state (what the text says)."""

from dataclasses import dataclass

import numpy as np

from moa.data.world import words
from moa.data.world.draws import color_word, maybe, optional, pick, pick_color
from moa.data.world.figures import Identity, State

TOPS = {
    "antenna": "an antenna",
    "twin": "two antennas",
    "dish": "a dish",
    "fin": "a fin",
    "lightbar": "a light bar",
    "studs": "two studs",
    "siren": "a siren",
}
CHESTS = {
    "buttons": "buttons",
    "vents": "vents",
    "screen": "a chest screen",
    "heart": "a heart",
    "dial": "a dial",
    "slot": "a slot",
}
EYES = {
    "round": "round eyes",
    "square": "square eyes",
    "visor": "a visor",
    "cyclops": "one eye",
    "happy": "happy eyes",
    "sleepy": "sleepy eyes",
    "plus": "plus eyes",
}
MOUTHS = {"grill": "", "speaker": "", "zigzag": "", "line": "", "smile": "smiling"}
BANDS = {
    **dict.fromkeys(("top", "glow_color", "eyes", "expression"), (0.0, 0.65)),
    "chest": (0.62, 0.9),
    "accent_color": (0.85, 1.0),
}


@dataclass(frozen=True, slots=True)
class Robot(Identity):
    """Which robot it is. Colours are hex; a missing part is "none"."""

    body: str
    accent: str
    top: str
    chest: str
    noun, plural, style = "robot", "robots", "voxel-bot"
    close_ups, bands = True, BANDS

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Robot":
        """One robot; every colour word and part is equally likely."""
        return cls(
            body=pick_color(rng, words.ROBOT_COLORS),
            accent=pick_color(rng, words.METAL_COLORS),
            top=maybe(rng, tuple(TOPS), 0.9),
            chest=maybe(rng, tuple(CHESTS), 0.9),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What decides the split."""
        return tuple(self.labels().values())

    def labels(self) -> dict[str, str]:
        """Visible identity attributes in words."""
        return {
            "body_color": color_word(words.ROBOT_COLORS, self.body),
            "accent_color": color_word(words.METAL_COLORS, self.accent),
            "top": self.top,
            "chest": self.chest,
        }

    def phrases(self) -> dict[str, str]:
        """What can be said about the identity, by the label it tells, each to follow "with"."""
        out = {"top": TOPS.get(self.top, ""), "chest": CHESTS.get(self.chest, "")}
        out["accent_color"] = f"{self.labels()['accent_color']} legs"
        return {key: words_ for key, words_ in out.items() if words_}

    def nouns(self) -> tuple[str, ...]:
        """Ways to name it: the plain noun first."""
        return ("robot", f"{self.labels()['body_color']} robot")


@dataclass(frozen=True, slots=True)
class RobotState(State):
    """The robot's face; colours are hex, `rotation` in degrees clockwise, `flip` mirrors left and right."""

    glow: str
    screen: str
    eyes: str
    mouth: str
    flip: bool
    rotation: int

    @classmethod
    def sample(cls, rng: np.random.Generator, identity: Robot) -> "RobotState":
        """One state; every colour word, eye and mouth is equally likely."""
        return cls(
            glow=pick_color(rng, words.GLOW_COLORS),
            screen=pick_color(rng, words.SCREEN_COLORS),
            eyes=pick(rng, tuple(EYES)),
            mouth=pick(rng, tuple(MOUTHS)),
            flip=bool(rng.integers(2)),
            rotation=int(rng.integers(-5, 6)) if rng.random() < 0.5 else 0,
        )

    def differs(self, other: "RobotState") -> bool:
        """Whether eyes and glow both differ."""
        return self.eyes != other.eyes and self.glow != other.glow

    def options(self, identity: Robot) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""
        return {
            "bodyColor": identity.body,
            "accentColor": identity.accent,
            "screenColor": self.screen,
            "glowColor": self.glow,
            "eyesVariant": self.eyes,
            "mouthVariant": self.mouth,
            **optional("top", identity.top),
            **optional("chest", identity.chest),
        }

    def labels(self, identity: Robot) -> dict[str, str]:
        """Visible state attributes in words."""
        out = {"glow_color": color_word(words.GLOW_COLORS, self.glow), "eyes": EYES[self.eyes]}
        return out | ({"expression": MOUTHS[self.mouth]} if MOUTHS[self.mouth] else {})

    def clothes(self, identity: Robot) -> dict[str, str]:
        """Robots wear nothing."""
        return {}

    def acts(self, identity: Robot) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
        labels = self.labels(identity)
        out = {"expression": labels["expression"]} if "expression" in labels else {}
        return out | {"glow_color": f"with {labels['glow_color']} lights", "eyes": f"with {labels['eyes']}"}
