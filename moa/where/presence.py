"""Did every subject get drawn, once? Read off the routing maps of a run; nothing of this is in the paper."""

from collections.abc import Collection, Iterator, Mapping

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from moa.where.recorder import Recorder
from moa.where.subjects import Subjects

ALMOST_NOTHING = 0.01  # of the picture
SECOND_REGION = 0.35  # of the largest


def subject_maps(recorder: Recorder, subjects: Subjects, tokens: Mapping[str, int]) -> list[dict[str, Float[Tensor, "h w"]]]:
    """Where each named subject of each picture is, 0..1: its router's weight, shared out by the attention to its tokens.

    `tokens` is the number of tokens a subject has in each adapter. The weight is the router's own, before the adapter's strength
    lessens it: a subject at half strength is as much there. A subject of no strength is nowhere.
    """
    claims = recorder.claims()
    rows: list[dict[str, Tensor]] = [{} for _ in range(recorder.rows)]
    if claims is None:
        return rows
    for row, maps in enumerate(rows):
        maps.update({p.name: torch.zeros_like(claims[row, 0]) for p in subjects.prompts[row // subjects.images_per_prompt]})
    for column, adapter in enumerate(recorder.experts):
        shown, learned = recorder.attention(adapter), claims[:, column] / (subjects.scale.get(adapter) or 1.0)
        for index, (row, own) in enumerate(subjects.rows_of(adapter)):
            # where nobody looked, all alike
            share = torch.full((len(own), *claims.shape[-2:]), 1 / max(len(own), 1), device=claims.device)
            if shown is not None:
                by_subject = reduce(shown[index], "(s k) h w -> s h w", "sum", k=tokens[adapter])[: len(own)]
                share = by_subject / by_subject.sum(0, keepdim=True).clamp(min=1e-9)
            for s, p in enumerate(own):
                rows[row][p.name] = rows[row][p.name] + learned[row] * share[s]  # a subject is at all of its mentions
    return rows


def regions_of(mask: Bool[Tensor, "h w"]) -> list[int]:
    """Sizes in pixels of the connected regions (8 neighbours) of a mask, largest first."""
    height, width = mask.shape
    label = torch.arange(1, mask.numel() + 1, device=mask.device, dtype=torch.float64).view(height, width) * mask
    while True:
        grown = F.max_pool2d(rearrange(label, "h w -> 1 1 h w"), 3, stride=1, padding=1)[0, 0] * mask
        if torch.equal(grown, label):
            break
        label = grown
    return sorted(label[mask].unique(return_counts=True)[1].tolist(), reverse=True)


def say_where(name: str) -> str:
    """How a user draws a region for a subject, in Python and on the command line."""
    return f"routing={{{name!r}: (left, top, right, bottom)}} (infer.py: routing.{name}=[left,top,right,bottom])"


def leads(maps: Float[Tensor, "s h w"]) -> Float[Tensor, "s h w"]:
    """How far each subject's weight is above the largest of the prior's and the other subjects': a subject owns the pixels where it is positive."""
    weights = torch.cat([1 - maps.sum(0, keepdim=True), maps])
    others = [torch.cat([weights[:i], weights[i + 1 :]]).amax(0) for i in range(1, len(weights))]
    return maps - torch.stack(others) if others else maps


def complaint(name: str, mask: Bool[Tensor, "h w"], placed: bool = False) -> str | None:
    """What is wrong with the pixels that a subject owns, in words, or None; `placed` says that the user drew a region for it."""
    sizes = regions_of(mask)
    share = sum(sizes) / mask.numel()
    if share < ALMOST_NOTHING:
        other = "give it a larger region" if placed else f"say where with {say_where(name)}"
        return f"<{name}> got {100 * share:.1f} % of the picture and may be missing; try another seed, or {other}."
    if len(sizes) > 1 and sizes[1] >= SECOND_REGION * sizes[0]:
        other = "give it one region" if placed else f"say where with {say_where(name)}"
        return f"<{name}> was drawn in {sum(s >= SECOND_REGION * sizes[0] for s in sizes)} separate regions and may appear twice; try another seed, or {other}."
    return None


class PresenceWarning(UserWarning):
    """A subject that may be missing from a picture (counted from 0) of a call, or be there twice."""

    def __init__(self, complaint: str, picture: int, pictures: int):
        super().__init__(complaint if pictures == 1 else f"In picture {picture + 1} of {pictures}, {complaint}")
        self.complaint, self.picture = complaint, picture


def complaints(maps: list[dict[str, Float[Tensor, "h w"]]], subjects: Subjects, blind: Collection[str] = ()) -> Iterator[PresenceWarning]:
    """What is wrong with the subjects of each picture, of those that have any strength; adapters that are `blind` cannot tell."""
    for picture, row in enumerate(maps):
        acting = {
            p.name for p in subjects.prompts[picture // subjects.images_per_prompt] if subjects.strength(p) > 0 and p.adapter not in blind
        }
        placed = {p.name for p in subjects.prompts[picture // subjects.images_per_prompt] if p.region is not None}
        owned = leads(torch.stack(list(row.values()))) > 0 if row else ()
        for name, mask in zip(row, owned, strict=True):
            if name in acting and (problem := complaint(name, mask, name in placed)):
                yield PresenceWarning(problem, picture, len(maps))
