"""Reference pictures of the world's subjects and what can be seen on them, drawn once and kept on disk."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange
from torch.utils.data import Dataset

from moa.data.world.dataset import PEOPLE
from moa.data.world.references import render_reference
from moa.data.world.sprites import cache_folder, sprite
from moa.data.world.subjects import KINDS, SPLITS, identity, labels, looks, one_of
from moa.data.world.workers import in_order
from moa.evaluation.attributes import HEADS, encode


class Reference(NamedTuple):
    """A picture (c h w), uint8, of one subject, and the number of each attribute's word (a), -1 where nobody can see it."""

    image: np.ndarray
    words: np.ndarray


class References(Dataset[Reference]):
    """`count` pictures of single subjects of one split, each a pure function of (split, seed, index); drawn with `workers`
    processes into the folder `path` where they are not there yet.

    Errors: ValueError for an unknown split, or a folder with fewer pictures.
    """

    def __init__(
        self, path: str | Path, *, count: int, split: str, seed: int = 0, identities: int = 4000, size: int = 128, workers: int = 2,
    ) -> None:  # fmt: skip
        one_of("split", split, SPLITS)
        self.path, self.count = Path(path), count
        if not self.path.exists():
            jobs = ((split, seed, i, identities, size) for i in range(count))
            _keep(self.path, in_order(_draw, jobs, count, workers), count, size)
        self.images = np.load(self.path / "images.npy", mmap_mode="r")
        self.words = np.load(self.path / "words.npy")
        if len(self.words) < count:
            raise ValueError(f"{path} holds {len(self.words)} pictures and {count} are asked for; ask for fewer, or give another path")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Reference:
        return Reference(np.array(self.images[index]), self.words[index])


def _draw(job: tuple[str, int, int, int, int]) -> Reference:
    split, seed, index, identities, size = job
    rng = np.random.default_rng([20243, SPLITS.index(split), seed, index])
    kind = KINDS[0] if rng.random() < PEOPLE else KINDS[rng.integers(1, len(KINDS))]
    number = int(rng.integers(identities))
    who, states = identity(split, number, kind), looks(split, number, kind)
    state = states[rng.integers(len(states))]
    picture, _ = render_reference(rng, sprite(who, state, cache_folder()), size)
    return Reference(rearrange(picture, "h w c -> c h w"), encode(kind, labels(who, state)))


def _keep(path: Path, rows: Iterable[Reference], count: int, size: int) -> None:
    """Writes every picture aside, then puts the folder in its place."""
    aside = path.with_name(f"{path.name}.new-{os.getpid()}")
    aside.mkdir(parents=True)
    images = np.lib.format.open_memmap(aside / "images.npy", mode="w+", dtype=np.uint8, shape=(count, 3, size, size))
    words = np.zeros((count, len(HEADS)), np.int16)
    for i, row in enumerate(rows):
        images[i], words[i] = row
    images.flush()
    np.save(aside / "words.npy", words)
    os.replace(aside, path)
