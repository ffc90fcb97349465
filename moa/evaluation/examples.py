"""What the reader learns from: pictures of the world with every visible fact about them as numbers, kept on disk."""

import os
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from einops import rearrange, reduce
from torch.utils.data import Dataset

from moa.data.world import World, WorldExample, scene_names
from moa.data.world.workers import in_order
from moa.evaluation.attributes import HEADS, KINDS, encode

MOST = 3  # subjects of a picture
GRID = 4  # pixels of a cell of the coarse mask


class Facts(NamedTuple):
    """One picture (c h w, uint8), the share of each coarse cell that subjects cover (h w, uint8, 255 is all), its scene's number, and
    of up to `MOST` subjects box, kind (-1: none), words (-1: not seen) and a number that is the same for the same identity."""

    image: np.ndarray
    mask: np.ndarray
    scene: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    words: np.ndarray
    who: np.ndarray


def facts(example: WorldExample) -> Facts:
    """The numbers of an example of the world."""
    box, kind = np.zeros((MOST, 4), np.int16), np.full(MOST, -1, np.int16)
    words, who = np.full((MOST, len(HEADS)), -1, np.int16), np.zeros(MOST, np.int64)
    for i, subject in enumerate(example.subjects):
        box[i], kind[i] = example.boxes[i], KINDS.index(subject.noun)
        words[i] = encode(subject.noun, subject.labels)
        who[i] = crc32(repr(subject.identity).encode())
    covered = example.masks.any(0).astype(np.float32) * 255
    mask = reduce(covered, "(h a) (w b) -> h w", "mean", a=GRID, b=GRID).round().astype(np.uint8)
    scene = np.int16(scene_names().index(example.scene))
    return Facts(rearrange(example.image, "h w c -> c h w"), mask, scene, box, kind, words, who)


class ReaderExamples(Dataset[Facts]):
    """`count` pictures of one split, drawn with `workers` processes into the folder `path` where they are not there yet."""

    def __init__(
        self,
        path: str | Path,
        *,
        count: int,
        split: str,
        seed: int = 0,
        identities: int = 4000,
        workers: int = 2,
        cache: str | Path | None = "default",
    ) -> None:
        self.path, self.count = Path(path), count
        world = World(split, seed=seed, identities=identities, length=count, cache=cache)
        if not self.path.exists():
            _draw(world, self.path, workers)
        self.images = np.load(self.path / "images.npy", mmap_mode="r")
        with np.load(self.path / "facts.npz") as stored:
            self.facts = dict(stored)
        if len(self.images) < count:
            raise ValueError(f"{path} holds {len(self.images)} pictures and {count} are asked for; ask for fewer, or give another path")
        self.people = int(self.facts["who"].max()) + 1

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Facts:
        return Facts(np.array(self.images[index]), *(self.facts[name][index] for name in Facts._fields[1:]))


def _one(job: tuple[World, int]) -> Facts:
    world, index = job
    return facts(world.example(index))


def _draw(world: World, path: Path, workers: int) -> None:
    """Draws every example of a world aside, then puts the folder in its place."""
    aside = path.with_name(f"{path.name}.new-{os.getpid()}")
    aside.mkdir(parents=True)
    shape = (len(world), 3, world.size, world.size)
    images = np.lib.format.open_memmap(aside / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    jobs = ((world, i) for i in range(len(world)))
    rows = []
    for row in in_order(_one, jobs, len(world), workers):
        images[len(rows)] = row.image
        rows.append(row._replace(image=None))
    images.flush()
    table = {name: np.stack([getattr(row, name) for row in rows]) for name in Facts._fields[1:]}
    table["who"] = np.unique(table["who"], return_inverse=True)[1].reshape(len(world), MOST)
    np.savez(aside / "facts.npz", **table)
    os.replace(aside, path)
