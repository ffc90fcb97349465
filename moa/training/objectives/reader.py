"""The objective of the attribute reader that evaluation uses: find subjects, describe them, tell people apart."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from moa.evaluation.attributes import HEADS, KINDS, SLICES
from moa.evaluation.describer import cut
from moa.evaluation.detector import STRIDE, UNIT, Finding, box_overlap, peaks
from moa.evaluation.examples import Facts, ReaderExamples
from moa.evaluation.reader import Reader
from moa.training.cpu import quicken


class Sights(NamedTuple):
    """`images` (b c h w) and `mask` (b h w), uint8; `scene` (b); of each subject `owner`, `kind`, `who` (p), `box` (p 4), `words` (p a)."""

    images: Tensor
    mask: Tensor
    scene: Tensor
    owner: Tensor
    kind: Tensor
    who: Tensor
    box: Tensor
    words: Tensor


class ReaderObjective(nn.Module):
    """Trains a reader on pictures spoilt as generators spoil them, so that it can be believed on what they draw.

    The detector, whose task is the easier one, learns from a share of each batch only.
    """

    def __init__(
        self, reader: Reader, *, data: ReaderExamples, validation: ReaderExamples, spoil: float = 1.0, sharpness: float = 16.0,
        detector_share: float = 0.25,
    ) -> None:  # fmt: skip
        super().__init__()
        self.reader = quicken(reader)
        self.people = nn.Linear(reader.describer.embedding.out_features, data.people + 1, bias=False)
        self.validation, self.spoil, self.sharpness, self.detector_share = validation, spoil, sharpness, detector_share

    def collate(self, examples: Sequence[Facts]) -> Sights:
        stacked = [torch.from_numpy(np.stack(field)) for field in zip(*examples, strict=True)]
        image, mask, scene, box, kind, words, who = stacked
        owner, column = (kind >= 0).nonzero(as_tuple=True)
        kind, box, words, who = (t[owner, column] for t in (kind, box, words, who))
        return Sights(image, mask, scene.long(), owner, kind.long(), who.long(), box.float(), words.long())

    def forward(self, batch: Sights, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        images = spoilt(batch.images.float() / 127.5 - 1, self.spoil, generator).contiguous(memory_format=torch.channels_last)
        few = first(batch, max(1, round(self.detector_share * len(images))))
        found = self.reader.detector(images[: len(few.images)])
        parts = dict(zip(("heat", "box"), place_losses(found, few), strict=True))
        parts["mask"] = F.binary_cross_entropy_with_logits(found.mask.float().squeeze(1), few.mask.float() / 255)
        parts["scene"] = F.cross_entropy(found.scene.float(), few.scene)
        told = self.reader.describer(cut(images, batch.owner, shaken(batch.box, generator)))
        parts["words"] = words_loss(told.logits.float(), batch.words)
        person = batch.kind == KINDS.index("person")
        cosine = F.linear(told.embedding[person], F.normalize(self.people.weight.float(), dim=-1))
        who = F.cross_entropy(self.sharpness * cosine, batch.who[person], reduction="sum")  # NormFace, 1704.06369, section 3
        parts["who"] = who / max(len(cosine), 1)
        weights = {"heat": 1.0, "box": 2.0, "mask": 1.0, "scene": 0.5, "words": 4.0, "who": 0.2}
        return sum(weights[name] * part for name, part in parts.items()), parts

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """Shares of right answers on held-out identities: scene, number of subjects, found subjects, and every attribute of those."""
        right: dict[str, list[Tensor]] = {}
        device = next(self.parameters()).device
        for start in range(0, len(self.validation), 64):
            rows = range(start, min(start + 64, len(self.validation)))
            batch = Sights(*(t.to(device) for t in self.collate([self.validation[i] for i in rows])))
            for name, answers in judged(self.reader, batch).items():
                right.setdefault(name, []).append(answers.float().cpu())
        return {name: float(torch.cat(answers).mean()) for name, answers in right.items() if sum(map(len, answers))}

    def export(self, folder: Path) -> None:
        """Saves the reader."""
        self.reader.save_pretrained(folder)


def first(batch: Sights, count: int) -> Sights:
    """The first pictures of a batch, with their subjects."""
    kept = batch.owner < count
    return Sights(*(t[:count] for t in batch[:3]), *(t[kept] for t in batch[3:]))


def place_losses(found: Finding, batch: Sights) -> tuple[Tensor, Tensor]:
    """The penalty-reduced focal loss of the heat and the absolute error of the boxes near centres ("Objects as Points", equations 1
    and 4, arXiv 1904.07850; boxes as distances to the sides are our choice)."""
    b, k, h, w = found.heat.shape
    down, across = (torch.arange(n, device=found.heat.device) for n in (h, w))
    left, top, right, bottom = rearrange(batch.box, "p c -> c p 1 1")
    row, column = ((top + bottom) / 2 / STRIDE).floor(), ((left + right) / 2 / STRIDE).floor()
    spread_down, spread_across = ((s / STRIDE * 0.1).clamp(min=0.6) for s in (bottom - top, right - left))
    hill = torch.exp(-(((rearrange(down, "h -> h 1") - row) / spread_down) ** 2 + ((across - column) / spread_across) ** 2) / 2)
    target = hill.new_zeros(b, k, h, w)
    for picture, kind, own in zip(batch.owner.tolist(), batch.kind.tolist(), hill, strict=True):
        target[picture, kind] = torch.maximum(target[picture, kind], own)
    logits, count = found.heat.float(), max(len(batch.box), 1)
    centre, odds = target == 1, logits.sigmoid()
    hits = (F.logsigmoid(logits) * (1 - odds) ** 2)[centre].sum()
    misses = (F.logsigmoid(-logits) * odds**2 * (1 - target) ** 4)[~centre].sum()
    middle_x, middle_y = (across + 0.5) * STRIDE, rearrange(down + 0.5, "h -> h 1") * STRIDE
    sides = torch.stack(torch.broadcast_tensors(middle_x - left, middle_y - top, right - middle_x, bottom - middle_y), dim=1) / UNIT
    error = (found.boxes.float()[batch.owner] - sides).abs().mean(1)
    near = hill * (hill > 0.5)
    return -(hits + misses) / count, (error * near).sum() / near.sum().clamp(min=1e-6)


def words_loss(logits: Float[Tensor, "p w"], words: Tensor) -> Tensor:
    """Cross-entropy of every attribute that can be seen, averaged over attributes by how often they are."""
    losses = []
    for column, head in enumerate(HEADS):
        losses.append(F.cross_entropy(logits[:, SLICES[head]], words[:, column], ignore_index=-1, reduction="sum"))
    return torch.stack(losses).sum() / (words >= 0).sum().clamp(min=1)


def shaken(box: Float[Tensor, "p 4"], generator: torch.Generator, amount: float = 0.05) -> Float[Tensor, "p 4"]:
    """Boxes with every side moved a little, as a detector would."""
    size = repeat(box[:, 2:] - box[:, :2], "p c -> p (t c)", t=2)
    return box + size * amount * torch.randn(box.shape, generator=generator, device=box.device)


def spoilt(images: Float[Tensor, "b 3 h w"], amount: float, generator: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Each picture blurred or sharpened, with fine and coarse noise and a slight tint, all by random degrees."""
    b, _, h, w = images.shape

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(b, channels, 1, 1, generator=generator, device=images.device)

    def noise(cell: int) -> Tensor:
        fine = torch.randn(b, 3, h // cell, w // cell, generator=generator, device=images.device)
        return F.interpolate(fine, size=(h, w), mode="bilinear") if cell > 1 else fine

    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softer = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")
    blurred = torch.where(uniform(0, 1) < 0.5, soft, softer)
    out = torch.lerp(images, blurred, amount * uniform(-0.5, 1.0))
    out = out + amount * (uniform(0, 0.05) * noise(1) + uniform(0, 0.06) * noise(4))
    return (out * (1 + amount * uniform(-0.05, 0.05)) + amount * uniform(-0.03, 0.03, 3)).clamp(-1, 1)


def judged(reader: Reader, batch: Sights) -> dict[str, Tensor]:
    """Which answers are right: one truth value a picture, or a subject that was found."""
    images = batch.images.float() / 127.5 - 1
    found = reader.detector(images)
    at = peaks(found)
    same = (rearrange(batch.owner, "p -> p 1") == at.picture) & (rearrange(batch.kind, "p -> p 1") == at.kind)
    overlap = box_overlap(batch.box, at.box) * same
    counts = [torch.bincount(owner, minlength=len(images)) for owner in (batch.owner, at.picture)]
    mask = (found.mask.squeeze(1) > 0, batch.mask > 127)
    right = {"scene": found.scene.argmax(1) == batch.scene, "count": counts[0] == counts[1]}
    right["mask_overlap"] = (mask[0] & mask[1]).flatten(1).sum(1) / (mask[0] | mask[1]).flatten(1).sum(1).clamp(min=1)
    if not len(at.box) or not len(batch.box):
        return right
    best, which = overlap.max(dim=1)
    right["found"] = best > 0.5
    told = reader.describer(cut(images, at.picture[which], at.box[which])).logits
    for column, (kind, attribute) in enumerate(HEADS):
        asked = (batch.words[:, column] >= 0) & right["found"]
        right[f"{kind}_{attribute}"] = (told[:, SLICES[kind, attribute]].argmax(1) == batch.words[:, column])[asked]
    return right
