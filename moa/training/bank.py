"""A bank of pictures with captions on disk, drawn once from the world and read by every objective that trains the tiny prior."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from moa.data.world.bank import read_bank, render_bank


class Captioned(NamedTuple):
    """A picture `(c h w)`, uint8, and its caption."""

    image: Tensor
    caption: str


class Bank(Dataset):
    """The first `count` pictures of a bank file (`.npy`); drawn from one split with `workers` processes where it does not exist yet."""

    def __init__(self, path: str | Path, *, count: int, split: str, seed: int = 0, workers: int = 2) -> None:
        self.images, self.captions = read_bank(render_bank(path, count, split, seed, workers=workers))
        if len(self.captions) < count:
            raise ValueError(f"{path} holds {len(self.captions)} pictures and {count} are asked for; ask for fewer, or give another path")
        self.path, self.count = Path(path), count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Captioned:
        image = torch.from_numpy(np.array(self.images[index]))
        return Captioned(rearrange(image, "h w c -> c h w"), self.captions[index])


def pictures(examples: Sequence[Captioned]) -> Tensor:
    """Stacks pictures to `(b c h w)`, uint8."""
    return torch.stack([example.image for example in examples])


def to_signed(images: Tensor) -> Tensor:
    """uint8 pictures to the autoencoder's range [-1, 1]."""
    return images.float() / 127.5 - 1


def to_unsigned(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] to [0, 1], clipped."""
    return (images.float() / 2 + 0.5).clamp(0, 1)
