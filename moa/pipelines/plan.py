"""From a user's prompts, subjects and regions to what the layers take; everything is checked before any work starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from moa.data.images import load_image
from moa.prompt.encoder import SubjectEncoder
from moa.prompt.placeholders import PlainPrompt, fill, locate, names_in
from moa.prompt.subject import SubjectEmbedding
from moa.where.config import MoAConfig
from moa.where.layout import Placed

Picture = str | Image.Image
SubjectInput = SubjectEmbedding | Picture | Sequence[Picture | SubjectEmbedding]
Region = Image.Image | np.ndarray | Tensor | Sequence[float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Strength by adapter and by subject name, all in 0..1, between two fractions of the run."""

    by_name: Mapping[str, float]
    overall: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)

    def of(self, name: str) -> float:
        """The strength set for a subject or adapter; 1 where nothing was said."""
        return self.by_name.get(name, 1.0)


def per_prompt(subjects, prompts: list[str], known: frozenset[str]) -> list[dict[str, SubjectInput]]:
    """One dict of subjects for each prompt; a single dict serves all of them, each with the names it mentions.

    Errors: ValueError for another number of dicts than prompts, and for a name that no prompt mentions.
    """
    if not isinstance(subjects, Mapping):
        if len(subjects) != len(prompts):
            raise ValueError(f"{len(subjects)} dicts of subjects were given for {len(prompts)} prompts; give one dict, or one per prompt.")
        return [dict(s or {}) for s in subjects]
    mentioned = [set(names_in(prompt, known)) for prompt in prompts]
    for name in subjects:
        if not any(name in names for names in mentioned):
            raise ValueError(
                f"The subject {name!r} does not occur in the prompt {prompts[0]!r}. Write <{name}> where it belongs, or leave its picture out."
            )
    return [{name: s for name, s in subjects.items() if name in names} for names in mentioned]


def is_saved(value: object) -> bool:
    """Whether a subject is given as the path of a file that `SubjectEmbedding.save` wrote."""
    return isinstance(value, (str, Path)) and Path(value).suffix == ".safetensors"


def embed(value: SubjectInput, name: str, encoder: SubjectEncoder) -> SubjectEmbedding:
    """A subject's embedding, from whatever stands for it.

    Errors: ValueError for an embedding by another encoder (both widths are named), no picture, or a wrong type.
    """
    if isinstance(value, SubjectEmbedding):
        if value.encoder != encoder.name or value.features.shape[-1] != encoder.width:
            raise ValueError(
                f"The subject {name!r} was encoded by {value.encoder!r} (width {value.features.shape[-1]}), the adapter reads "
                f"{encoder.name!r} (width {encoder.width}); encode its pictures with this pipeline's encode_subject."
            )
        if not torch.isfinite(value.features).all():
            raise ValueError(f"The embedding of the subject {name!r} has NaN or infinite values; encode its pictures again.")
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(part, SubjectEmbedding) for part in value):
        parts = [embed(part, name, encoder) for part in value]
        first = next(part for part in value if isinstance(part, SubjectEmbedding))
        return replace(first, features=torch.cat([part.features.to(first.features) for part in parts]))
    pictures = [value] if isinstance(value, (str, Image.Image)) or hasattr(value, "__fspath__") else value
    if not isinstance(pictures, Sequence) or not all(isinstance(p, (str, Image.Image)) or hasattr(p, "__fspath__") for p in pictures):
        raise ValueError(
            f"The subject {name!r} is a {type(value).__name__}; give a PIL image, a path, a SubjectEmbedding, or a list of them."
        )
    return encoder.encode([load_image(picture) for picture in pictures])


def choose_adapter(name: str, subject: SubjectEmbedding, configs: Mapping[str, MoAConfig]) -> str:
    """The adapter a subject belongs to: its own choice, the only one there is, or the one whose noun it shares.

    Errors: ValueError listing the adapters when that does not decide.
    """
    if subject.adapter is not None and subject.adapter not in configs:
        raise ValueError(f"The subject {name!r} asks for the adapter {subject.adapter!r}; loaded are {', '.join(configs)}.")
    if subject.adapter is not None or len(configs) == 1:
        return subject.adapter or next(iter(configs))
    same = [adapter for adapter, config in configs.items() if config.noun == subject.noun]
    if len(same) != 1:
        raise ValueError(
            f"Several adapters are loaded ({', '.join(configs)}); say which one draws {name!r}: "
            f"subjects={{{name!r}: pipe.encode_subject(image, adapter={next(iter(configs))!r})}}."
        )
    return same[0]


def read_region(name: str, region: Region, size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """A mask or a box as a map in 0..1 of the picture's `size` (h, w).

    Errors: ValueError for a mask of another size, a box outside the picture or empty, or an empty mask.
    """
    height, width = size
    if isinstance(region, Image.Image):
        region = np.asarray(region.convert("L"), dtype=np.float32) / 255
    if isinstance(region, np.ndarray) and region.ndim == 2 or isinstance(region, Tensor) and region.ndim == 2:
        mask = torch.as_tensor(region).float()
        if tuple(mask.shape) != size:
            raise ValueError(
                f"routing[{name!r}] is a mask of {mask.shape[1]} x {mask.shape[0]} pixels, the picture has {width} x {height}; resize the mask."
            )
        if not torch.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1 or mask.max() == 0:
            raise ValueError(
                f"routing[{name!r}] must hold values in 0..1 and not be empty; it holds {float(mask.min()):g}..{float(mask.max()):g}."
            )
        return mask
    if not isinstance(region, Sequence) or len(region) != 4:
        raise ValueError(
            f"routing[{name!r}] is a {type(region).__name__}; give a mask of the picture's size or a box (left, top, right, bottom) in pixels."
        )
    left, top, right, bottom = (float(v) for v in region)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"routing[{name!r}] is the box {tuple(region)}; it must satisfy 0 <= left < right <= {width} and 0 <= top < bottom <= {height}."
        )
    mask = torch.zeros(size)
    mask[round(top) : max(round(bottom), round(top) + 1), round(left) : max(round(right), round(left) + 1)] = 1
    return mask


@dataclass(frozen=True, slots=True)
class Plan:
    """The plain prompts, and for each its mentions in the order of the text."""

    prompts: list[PlainPrompt]
    placed: list[list[Placed]]

    @property
    def adapters(self) -> set[str]:
        """Those that draw somebody in it."""
        return {mention.adapter for row in self.placed for mention in row}


def make_plan(
    prompts: list[str], subjects: list[dict[str, SubjectEmbedding]], regions: Mapping[str, Region],
    *, configs: Mapping[str, MoAConfig], tokenizer, expand: Callable[[str], str], known: frozenset[str], scale: Scale, size: tuple[int, int],
) -> Plan:  # fmt: skip
    """Check everything and lay it out; `expand` is as for `locate`.

    Errors: ValueError as the functions above; also for a region of an unknown subject, and for a router that needs one.
    """
    everyone = {name for given in subjects for name in given}
    for name in regions:
        if name not in everyone:
            raise ValueError(
                f"routing names {name!r}, but the subjects are {', '.join(sorted(everyone)) or 'none'}; give a region only to a subject."
            )
    maps = {name: read_region(name, region, size) for name, region in regions.items()}
    plain, placed = [], []
    for prompt, given in zip(prompts, subjects, strict=True):
        adapters = {name: choose_adapter(name, subject, configs) for name, subject in given.items()}
        nouns = {name: subject.noun or configs[adapters[name]].noun for name, subject in given.items()}
        for name in given:
            if configs[adapters[name]].router == "mask" and name not in maps:
                raise ValueError(
                    f"The adapter {adapters[name]!r} draws only where it is told to; give routing={{{name!r}: mask or box}}, routing.{name}=[left,top,right,bottom] on the command line."
                )
        filled = fill(prompt, nouns, known)
        positions = locate(filled, tokenizer, expand)
        plain.append(filled)
        placed.append(
            [
                Placed(m.name, adapters[m.name], position, given[m.name].features, scale.of(m.name), maps.get(m.name))
                for m, position in zip(filled.mentions, positions, strict=True)
            ]
        )
    return Plan(plain, placed)


def with_noun(subject: SubjectEmbedding, noun: str | None, adapter: str | None) -> SubjectEmbedding:
    """The embedding with a class noun and an adapter of its own."""
    return replace(subject, noun=noun or subject.noun, adapter=adapter or subject.adapter)
