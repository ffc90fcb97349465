"""The tiny prior's subject encoder: a residual network that can tell every attribute of a subject from one picture of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import Dataset
from transformers import ResNetConfig, ResNetModel

from moa.evaluation.attributes import HEADS, IDENTITY, SLICES, WORDS
from moa.training.bank import to_signed
from moa.training.objectives.reader import words_loss
from moa.training.objectives.tiny_folder import feature_extractor, name_processor
from moa.training.references import Reference

STATISTICS = 1024  # pictures that the batch norms' statistics are measured on


class Told(NamedTuple):
    """`images` (b c h w), uint8, and `words` (b a) as `moa.evaluation.attributes` numbers them."""

    images: Tensor
    words: Tensor


def new_encoder(*, widths: Sequence[int], depths: Sequence[int]) -> ResNetModel:
    """An untrained residual network of basic blocks ("Deep Residual Learning for Image Recognition", figure 5 left, arXiv 1512.03385)."""
    config = ResNetConfig(embedding_size=widths[0], hidden_sizes=list(widths), depths=list(depths), layer_type="basic", hidden_act="relu")
    return ResNetModel(config)


class EncoderObjective(nn.Module):
    """Classifies every visible attribute from the mean of the map; the heads are thrown away.

    Pictures are mirrored and moved by up to `shift` pixels. The statistics of the batch norms are measured when they are
    needed, on pictures of `data` (`torch.optim.swa_utils.update_bn`): they suit the averaged weights, and a checkpoint
    does without them.
    """

    def __init__(self, encoder: ResNetModel, *, data: Dataset, validation: Dataset, size: int = 128, shift: int = 6) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, nn.Linear(encoder.config.hidden_sizes[-1], WORDS)
        self.data, self.validation, self.size, self.shift = data, validation, size, shift
        self.to(memory_format=torch.channels_last)

    def collate(self, examples: Sequence[Reference]) -> Told:
        return Told(*(torch.from_numpy(np.stack(field)) for field in zip(*examples, strict=True)))

    def tell(self, images: Tensor) -> Tensor:
        """Logits (b w) over the words of all heads, from pictures (b c h w) in -1..1."""
        seen = self.encoder(images.contiguous(memory_format=torch.channels_last)).last_hidden_state
        return self.heads(seen.float().mean(dim=(2, 3)))

    def forward(self, batch: Told, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        images = self.moved(to_signed(batch.images), generator)
        loss = words_loss(self.tell(images).float(), batch.words.long())
        return loss, {"words": loss}

    def moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Half of the pictures mirrored, the batch moved by one random offset, the edge repeated."""
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(-1), images)
        if not self.shift:
            return images
        down, across = torch.randint(2 * self.shift + 1, (2,), generator=generator, device=images.device).tolist()
        height, width = images.shape[-2:]
        return F.pad(images, [self.shift] * 4, mode="replicate")[..., down : down + height, across : across + width]

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """Of held-out subjects: the part of right answers, balanced over the words, for every attribute of identity."""
        told = []
        with self._measured():
            for start in range(0, len(self.validation), 64):
                rows = range(start, min(start + 64, len(self.validation)))
                batch = self._batch([self.validation[i] for i in rows])
                told.append((self.tell(to_signed(batch.images)).float().cpu(), batch.words.long().cpu()))
        logits, words = (torch.cat(parts) for parts in zip(*told, strict=True))
        return {
            f"{kind}_{name}": value
            for kind, name in HEADS
            if name in IDENTITY[kind] and (value := balanced(logits, words, (kind, name))) is not None
        }

    def export(self, folder: Path) -> None:
        """Saves the encoder in float16, with its image processor."""
        with self._measured():
            half = {name: value.half() if value.is_floating_point() else value for name, value in self.encoder.state_dict().items()}
            self.encoder.save_pretrained(folder, state_dict={name: value.contiguous() for name, value in half.items()})
        feature_extractor(self.size).save_pretrained(folder)
        name_processor(Path(folder) / "preprocessor_config.json")

    def _batch(self, examples: Sequence[Reference]) -> Told:
        device = self.heads.weight.device
        return Told(*(t.to(device) for t in self.collate(examples)))

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """In evaluation mode, with fresh statistics; in training mode again afterwards."""
        count = min(STATISTICS, len(self.data))
        chunks = (range(start, min(start + 64, count)) for start in range(0, count, 64))
        update_bn((to_signed(self._batch([self.data[i] for i in chunk]).images) for chunk in chunks), self.encoder)
        self.eval()
        try:
            yield
        finally:
            self.train()


def balanced(logits: Tensor, words: Tensor, head: tuple[str, str]) -> float | None:
    """The part of right answers of one head, averaged over the words that occur; None where nobody can see it."""
    right_word = words[:, HEADS.index(head)]
    seen = right_word >= 0
    right = logits[seen][:, SLICES[head]].argmax(dim=1) == right_word[seen]
    shares = [right[right_word[seen] == word].float().mean() for word in right_word[seen].unique()]
    return float(torch.stack(shares).mean()) if shares else None
