"""The attribute reader: from a picture of the world alone to its scene, its subjects, and what each of them looks like."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from moa.data.world import scene_names
from moa.evaluation.attributes import ATTRIBUTES, KINDS, WORDS, decode
from moa.evaluation.describer import Describer, cut
from moa.evaluation.detector import Detector, Finding, peaks

SIDE = 128  # pixels; other pictures are brought to it
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sighting:
    """One subject seen: kind, score in 0..1, box (left, top, right, bottom; pixels of 128), a word for every attribute of its kind,
    an embedding of unit length."""

    kind: str
    score: float
    box: tuple[float, float, float, float]
    words: dict[str, str]
    embedding: Float[np.ndarray, " d"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in a picture: its scene, its subjects, best seen first, and where any subject is (`mask`, 128 x 128)."""

    scene: str
    sightings: tuple[Sighting, ...]
    mask: Bool[np.ndarray, "h w"]

    def of_kind(self, kind: str) -> list[Sighting]:
        """The subjects of one kind."""
        return [sighting for sighting in self.sightings if sighting.kind == kind]

    def figure(self, sighting: Sighting) -> Bool[np.ndarray, "h w"]:
        """The pixels of one subject: the mask inside its box, without what lies nearer the middle of another's box."""
        rows, columns = np.mgrid[: self.mask.shape[0], : self.mask.shape[1]] + 0.5
        left, top, right, bottom = rearrange(np.array([other.box for other in self.sightings]), "s c -> c s 1 1")
        across = np.abs(2 * columns - left - right) / np.maximum(right - left, 1)
        distance = np.maximum(across, np.abs(2 * rows - top - bottom) / np.maximum(bottom - top, 1))  # 1 on the box's edge
        own = next(i for i, other in enumerate(self.sightings) if other is sighting)
        return self.mask & (distance[own] <= 1.08) & (distance.argmin(0) == own)


class Reader(nn.Module):
    """A detector and a describer; `read` is what to call. Knows nothing of masks, prompts or identities."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = Detector(kinds=len(KINDS), scenes=len(scene_names()))
        self.describer = Describer(words=WORDS)

    @torch.no_grad()
    def read(self, pictures: Sequence[Image.Image | UInt8[np.ndarray, "h w 3"]], *, batch_size: int = 64) -> list[Reading]:
        """A reading of each picture."""
        readings: list[Reading] = []
        for start in range(0, len(pictures), batch_size):
            readings += self._read(torch.stack([as_tensor(picture) for picture in pictures[start : start + batch_size]]))
        return readings

    def _read(self, images: Float[Tensor, "b 3 h w"]) -> list[Reading]:
        found: Finding = self.detector(images.to(next(self.parameters()).device))
        at = peaks(found)
        told = self.describer(cut(images.to(at.box.device), at.picture, at.box))
        logits, embedding = told.logits.float().cpu().numpy(), told.embedding.cpu().numpy()
        masks = F.interpolate(found.mask.float(), size=images.shape[-2:], mode="bilinear")[:, 0].cpu().numpy() > 0
        scenes = found.scene.argmax(1).tolist()
        rows: list[list[Sighting]] = [[] for _ in range(len(images))]
        facts = zip(at.picture.tolist(), at.kind.tolist(), at.score.tolist(), at.box.tolist(), strict=True)
        for i, (picture, kind, score, box) in enumerate(facts):
            rows[picture].append(Sighting(KINDS[kind], score, tuple(box), decode(KINDS[kind], logits[i]), embedding[i]))
        return [Reading(scene_names()[s], tuple(row), mask) for s, row, mask in zip(scenes, rows, masks, strict=True)]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`, which holds the words it was trained on."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().half().cpu().contiguous() for name, t in self.state_dict().items()}
        (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
        (folder / "config.json").write_text(json.dumps(_vocabulary() | {"format_version": FORMAT}, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Reader":
        """Read what `save_pretrained` wrote.

        Errors: ValueError for a folder that holds no reader, or a reader of other words.
        """
        try:
            config = json.loads((Path(folder) / "config.json").read_text())
            tensors = load_file(str(Path(folder) / "model.safetensors"))
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(
                f"{str(folder)!r} holds no attribute reader ({error}); models/reader is one, and `python train.py experiment=reader` trains another."
            ) from None
        if config != json.loads(json.dumps(_vocabulary() | {"format_version": FORMAT})):
            raise ValueError(
                f"The reader in {str(folder)!r} was trained on other words or scenes than the world has now; train it again: python train.py experiment=reader."
            )
        reader = cls()
        reader.load_state_dict(tensors)
        return reader.eval().requires_grad_(False)


def as_tensor(picture: Image.Image | UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 h w"]:
    """A picture in -1..1, `SIDE` pixels a side."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return rearrange(torch.from_numpy(np.array(image.convert("RGB"))), "h w c -> c h w").float() / 127.5 - 1


def _vocabulary() -> dict[str, object]:
    return {"attributes": ATTRIBUTES, "scenes": scene_names()}
