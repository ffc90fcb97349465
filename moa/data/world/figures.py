"""What a class of figures offers the world: identities (who one is), their states (what the text says), how they stand."""

from abc import ABC, abstractmethod

import numpy as np


class Identity(ABC):
    """Who a figure is; frozen and hashable. What the whole class shares are attributes of the class.

    `noun`: what the prior reads for one. `style`: the drawing style. `height`: beside a person's. `margin`: drawn around
    the style's square canvas, as a share of it. `sunk`: how far below the usual place it ends, as a share of the picture;
    what leaves the picture is cut. `close_ups`: whether some reference pictures show the upper part only. `bands`: the
    top and bottom of the part that shows a label, as shares of the height; the whole figure for what is not listed.
    """

    __slots__ = ()
    noun: str
    plural: str
    style: str
    height = 1.0
    margin = 0.0
    sunk = 0.0
    close_ups = False
    bands: dict[str, tuple[float, float]] = {}

    @classmethod
    @abstractmethod
    def sample(cls, rng: np.random.Generator) -> "Identity":
        """One identity."""

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """What decides the split: the combination of everything conspicuous, in words."""

    @abstractmethod
    def labels(self) -> dict[str, str]:
        """Visible attributes in words."""

    @abstractmethod
    def phrases(self) -> dict[str, str]:
        """What can be said about it, by the label it tells, each to follow "with"."""

    @abstractmethod
    def nouns(self) -> tuple[str, ...]:
        """Ways to name it: the plain noun first."""


class State(ABC):
    """What one wears and does; frozen and hashable. `rotation` in degrees clockwise, `flip` mirrors left and right."""

    __slots__ = ()
    flip: bool
    rotation: int

    @classmethod
    @abstractmethod
    def sample(cls, rng: np.random.Generator, identity: Identity) -> "State":
        """One state of an identity."""

    @abstractmethod
    def differs(self, other: "State") -> bool:
        """Whether two pictures of one identity show two states."""

    @abstractmethod
    def options(self, identity: Identity) -> dict[str, str | int]:
        """Every option of the style that a picture depends on."""

    @abstractmethod
    def labels(self, identity: Identity) -> dict[str, str]:
        """Visible attributes in words."""

    @abstractmethod
    def clothes(self, identity: Identity) -> dict[str, str]:
        """What can be said of the clothes, by the label it tells, each to follow "wearing"."""

    @abstractmethod
    def acts(self, identity: Identity) -> dict[str, str]:
        """What can be said of the face, by the label it tells."""
