"""Examples of subjects as one batch of tensors."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from moa.data.examples import SubjectExample
from moa.prompt.encoder import SubjectEncoder
from moa.prompt.placeholders import fill, locate


class SubjectBatch(NamedTuple):
    """`images` (b 3 h w) in -1..1; `pictures` (p 3 h w) as the encoder reads them, of all subjects of all samples in turn.

    `prompts` are plain; `owners[b]` are (name, token position, number of pictures) and `masks` (c h w) in the same order.
    """

    images: Tensor
    pictures: Tensor
    masks: Tensor
    prompts: list[str]
    owners: list[list[tuple[str, int, int]]]


def collate(examples: list[SubjectExample], tokenizer, encoder: SubjectEncoder) -> SubjectBatch:
    """Examples to a batch: fills the placeholders, finds their tokens, prepares the pictures."""
    prompts, owners, pictures, masks = [], [], [], []
    for example in examples:
        plain = fill(example.prompt, {name: subject.noun for name, subject in example.subjects.items()})
        positions = locate(plain, tokenizer)
        prompts.append(plain.text)
        owners.append([])
        for mention, position in zip(plain.mentions, positions, strict=True):
            subject = example.subjects[mention.name]
            owners[-1].append((mention.name, position, len(subject.pictures)))
            pictures += [Image.fromarray(picture) for picture in subject.pictures]
            masks.append(torch.from_numpy(subject.mask))
    images = torch.from_numpy(np.stack([example.image for example in examples]))
    images = rearrange(images, "b h w c -> b c h w").float() / 127.5 - 1
    pixels = encoder.pixels(pictures) if pictures else images.new_zeros(0, 3, 1, 1)
    drawn = torch.stack(masks).float() if masks else images.new_zeros(0, *images.shape[-2:])
    return SubjectBatch(images, pixels, drawn, prompts, owners)


def shrink(masks: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    """Masks at a coarser size: the share of each pixel that is covered."""
    return (
        rearrange(F.interpolate(rearrange(masks, "c h w -> 1 c h w"), size=size, mode="area"), "1 c h w -> c h w")
        if len(masks)
        else masks.new_zeros(0, *size)
    )
