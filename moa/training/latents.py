"""A bank's pictures as latents: encoded once, kept in one file, held in memory while the prior trains."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.utils.data import Dataset

from moa.training.bank import Bank, to_signed

log = logging.getLogger(__name__)


class LatentText(NamedTuple):
    """A latent `(c h w)`, float16, scaled to unit variance, and its picture's caption."""

    latent: Tensor
    caption: str


class Latents(Dataset):
    """The latents of a bank under an autoencoder; the file `cache` (.npy) is written where it is missing or belongs to other weights."""

    def __init__(self, bank: Bank, *, autoencoder: str | Path, cache: str | Path) -> None:
        cache, about = Path(cache), Path(cache).with_suffix(".json")
        model = load_autoencoder(autoencoder)
        facts = {"weights": _fingerprint(model), "bank": str(bank.path), "count": len(bank)}
        if not (cache.exists() and about.exists() and json.loads(about.read_text()) == facts):
            log.info("encoding %d pictures to %s", len(bank), cache)
            _replace(cache, encode(bank, model))
            about.write_text(json.dumps(facts))
        self.latents, self.captions = torch.from_numpy(np.load(cache)), bank.captions

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, index: int) -> LatentText:
        return LatentText(self.latents[index], self.captions[index])


def load_autoencoder(folder: str | Path) -> AutoencoderKL:
    """The autoencoder of a folder, in float32; ValueError where there is none."""
    if not (Path(folder) / "config.json").exists():
        raise ValueError(f"{folder} holds no autoencoder (no config.json); train one: python train.py experiment=tiny_autoencoder")
    return AutoencoderKL.from_pretrained(folder, use_safetensors=True)


@torch.no_grad()
def encode(bank: Bank, autoencoder: AutoencoderKL, batch: int = 64) -> np.ndarray:
    """The posterior means of all pictures, scaled, float16 `(n c h w)`."""
    autoencoder = autoencoder.eval().to(memory_format=torch.channels_last)
    rows = []
    for start in range(0, len(bank), batch):
        images = torch.stack([bank[i].image for i in range(start, min(start + batch, len(bank)))])
        with torch.autocast(images.device.type, torch.bfloat16):
            latents = autoencoder.encode(to_signed(images).contiguous(memory_format=torch.channels_last)).latent_dist.mode()
        rows.append((latents.float() * autoencoder.config.scaling_factor).half().contiguous().numpy())
    return np.concatenate(rows)


def _fingerprint(model: AutoencoderKL) -> str:
    """A hash of what latents depend on: the encoder's half of the weights and the scaling factor."""
    digest = hashlib.sha256(str(model.config.scaling_factor).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _replace(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.save(file, array)
    os.replace(temporary, path)
