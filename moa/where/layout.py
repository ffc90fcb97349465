"""Laying mentions out for the layers: tokens fused from pictures and words, the rows and prompt slots they take, the regions they keep to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor

from moa.prompt.fusion import SubjectFusion
from moa.where.context import ExpertContext, Rows


@dataclass(frozen=True, slots=True)
class Placed:
    """One mention of a subject: which adapter draws it, the token it replaces, its features, and how strongly.

    `features` is (p n d), `region` an optional (h w) map in 0..1 at any size, `scale` 0 (its plain noun) to 1.
    """

    name: str
    adapter: str
    position: int
    features: Float[Tensor, "p n d"]
    scale: float = 1.0
    region: Float[Tensor, "h w"] | None = None


def make_expert(
    name: str,
    rows: list[tuple[int, Sequence[Placed]]],
    fusion: SubjectFusion,
    layer: dict[str, int],
    times: Tensor,
    text: Float[Tensor, "s l d"],
    scale: float,
    *,
    shared: bool,
) -> ExpertContext:
    """Fuse pictures and nouns of all mentions in one batch and lay the tokens out by row.

    `shared` times are the steps of a run, the same for all rows; otherwise `times` is one number a row of `text`.
    """
    mentions = [(r, p) for r, (_, placed) in enumerate(rows) for p in placed]
    tokens = fuse_mentions(fusion, [p for _, p in mentions], torch.stack([text[rows[r][0], p.position] for r, p in mentions]))
    if shared:
        offsets = repeat(fusion.offsets(times), "t l d -> t l c d", c=len(mentions))
    else:
        offsets = rearrange(fusion.offsets(times.expand(len(text))[[rows[r][0] for r, _ in mentions]]), "c l d -> 1 l c d")
    timed = rearrange(offsets, "t l c d -> t l c 1 d") + tokens
    row, place, column = seats(mentions, len(rows), text.device)
    most, length = max(column), text.shape[1] + max(column) * (fusion.tokens - 1)
    laid = timed.new_zeros(*timed.shape[:2], len(rows), most, *timed.shape[-2:])
    laid[:, :, row, place] = timed
    noun = torch.tensor([p.position for _, p in mentions], device=text.device)
    regions, drawn, undrawn = lay_regions(rows, most, fusion.tokens, text.device)
    return ExpertContext(
        name=name,
        rows=pick([row for row, _ in rows], len(text), text.device),
        tokens=rearrange(laid, "t l r s k d -> t l r (s k) d"),
        layer=layer,
        step=0,
        position=lay_positions(noun, row, place, column, k=fusion.tokens, prompt=text.shape[1], length=length),
        length=length,
        scale=scale,
        padded=length > text.shape[1] and min(column) < most,
        regions=regions,
        drawn=drawn,
        undrawn=undrawn,
    )


def pick(rows: list[int], count: int, device: torch.device) -> Rows:
    """Rows of a batch of `count` as an index: None for all of them, a slice where they follow one another."""
    if len(rows) == count:
        return None
    if rows == list(range(rows[0], rows[-1] + 1)):
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows, device=device)


def lay_positions(
    noun: Int[Tensor, " c"], row: Int[Tensor, " c"], place: Int[Tensor, " c"], column: list[int], *, k: int, prompt: int, length: int
) -> Int[Tensor, "r m"]:
    """The slot of every token: the first of a mention at its noun, the others after the prompt, and `length` where a row has no mention."""
    position = torch.full((len(column), max(column), k), length, device=noun.device)
    appended = prompt + place.unsqueeze(1) * (k - 1) + torch.arange(k - 1, device=noun.device)
    position[row, place] = torch.cat([noun.unsqueeze(1), appended], dim=1)
    return rearrange(position, "r s k -> r (s k)")


def seats(mentions: list[tuple[int, Placed]], rows: int, device) -> tuple[Tensor, Tensor, list[int]]:
    """Row and place in its row of each mention, and how many mentions each row has."""
    column, used = [0] * rows, []
    for r, _ in mentions:
        used.append(column[r])
        column[r] += 1
    return torch.tensor([r for r, _ in mentions], device=device), torch.tensor(used, device=device), column


def fuse_mentions(fusion: SubjectFusion, placed: list[Placed], noun: Float[Tensor, "c d"]) -> Float[Tensor, "c k d"]:
    """Tokens of each mention: fused picture by picture, averaged over a subject's pictures, and drawn back to the noun by scale."""
    counts = torch.tensor([len(p.features) for p in placed], device=noun.device)
    owner = torch.repeat_interleave(torch.arange(len(placed), device=noun.device), counts)
    features = torch.cat([p.features.to(noun.device) for p in placed])
    fused = fusion.fuse(features, noun[owner])
    mean = fused.new_zeros(len(placed), *fused.shape[1:]).index_add(0, owner, fused)
    mean = mean / rearrange(counts, "c -> c 1 1")
    plain = repeat(noun.float(), "c d -> c k d", k=mean.shape[1])
    scale = torch.tensor([p.scale for p in placed], device=noun.device)
    return torch.lerp(plain, mean, rearrange(scale, "c -> c 1 1"))


def lay_regions(rows, most: int, k: int, device) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Regions (r m h w) of each token, their union (r h w), and whether a row has subjects without one (r)."""
    sizes = {p.region.shape for _, placed in rows for p in placed if p.region is not None}
    if not sizes:
        return None, None, None
    assert len(sizes) == 1, "regions are brought to one size before they get here"
    size = sizes.pop()
    regions = torch.ones(len(rows), most, *size, device=device)
    drawn = torch.zeros(len(rows), *size, device=device)
    undrawn = torch.zeros(len(rows), device=device)
    for r, (_, placed) in enumerate(rows):
        for s, p in enumerate(placed):
            if p.region is None:
                undrawn[r] = 1
            else:
                regions[r, s] = p.region.to(device)
                drawn[r] = torch.maximum(drawn[r], p.region.to(device))
    return repeat(regions, "r s h w -> r (s k) h w", k=k), drawn, undrawn
