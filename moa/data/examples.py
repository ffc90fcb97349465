"""What an adapter learns from: a picture, a prompt with placeholders, and pictures of the subjects it names."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject of an example: reference pictures of it (uint8, h w 3, each of its own size), its noun, its visible pixels in the target."""

    pictures: tuple[UInt8[np.ndarray, "_ _ 3"], ...]
    noun: str
    mask: Bool[np.ndarray, "h w"]


@dataclass(frozen=True, slots=True)
class SubjectExample:
    """`prompt` says `<name>` for every key of `subjects`."""

    image: UInt8[np.ndarray, "h w 3"]
    prompt: str
    subjects: dict[str, Subject]


@runtime_checkable
class SubjectSet(Protocol):
    """A dataset of `SubjectExample`s; `noun` is what a placeholder reads as when nothing else is said."""

    noun: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SubjectExample: ...
