"""The subjects of one sampling run or training step, and the expert contexts they become at each UNet call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

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


@dataclass(slots=True)
class Subjects:
    """Mentions by prompt. `images_per_prompt` copies of each prompt follow one another in the UNet's batch.

    `timesteps`, when known, is asked once for all steps of the run, so that tokens are made for all of them at once.
    """

    prompts: Sequence[Sequence[Placed]]
    images_per_prompt: int = 1
    timesteps: Callable[[], Tensor] | None = None
    scale: dict[str, float] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 1.0)
    train_timesteps: int = 1000
    cache: dict[tuple, Any] | None = None
    _made: dict = field(default_factory=dict)
    _run: tuple[Tensor, list[float]] | None = None
    _steps: tuple[Tensor | None, list[float]] = (None, [])

    @property
    def adapters(self) -> list[str]:
        """The adapters that have something to draw, in order of appearance."""
        return list(dict.fromkeys(p.adapter for prompt in self.prompts for p in prompt if self.strength(p) > 0))

    def strength(self, placed: Placed) -> float:
        """How strongly a mention acts, 0 (not at all) to 1: its own scale and its adapter's."""
        return placed.scale * self.scale.get(placed.adapter, 1.0)

    def first(self, batch: int) -> int:
        """The first row of a batch that may see subjects: where the conditional half begins under guidance, else 0.

        Errors: ValueError for a batch that is neither once nor twice the prompts asked for.
        """
        wanted = len(self.prompts) * self.images_per_prompt
        if batch not in (wanted, 2 * wanted):
            raise ValueError(
                f"The UNet was called with a batch of {batch}, but the subjects were given for {len(self.prompts)} prompts x "
                f"{self.images_per_prompt} pictures; it takes {wanted} rows, or {2 * wanted} with guidance. "
                "Give one dict of subjects per prompt, and images_per_prompt as the pipeline is called."
            )
        return batch - wanted

    def rows_of(self, adapter: str) -> list[tuple[int, Sequence[Placed]]]:
        """The rows, counted from `first`, that mention this adapter's subjects, and which."""
        rows = []
        for row in range(len(self.prompts) * self.images_per_prompt):
            placed = [p for p in self.prompts[row // self.images_per_prompt] if p.adapter == adapter and self.strength(p) > 0]
            if placed:
                rows.append((row, placed))
        return rows

    def experts(
        self, fusions: nn.ModuleDict, layers: dict[str, dict[str, int]], timestep: Float[Tensor, " b"], text: Float[Tensor, "b l d"]
    ) -> tuple[ExpertContext, ...]:
        """The contexts of this UNet call; `layers` numbers the cross-attention sites of each adapter.

        The window is in steps of the run where this time is one of them, else in diffusion time.
        """
        first, now, steps = self.first(len(text)), float(timestep[0]), self._steps_of_run()
        step = steps.index(now) if now in steps else None
        start, end = self.window
        done = 1 - now / self.train_timesteps if step is None else step / len(steps)
        if not (start <= done < end or (end == 1 and done >= start)):
            return ()
        shared = step is not None and self.cache is not None
        self._keep((text, steps) if shared else None)
        for name in self.adapters:
            if name not in self._made:
                times = timestep.new_tensor(steps) if shared else timestep[first:]
                self._made[name] = make_expert(
                    name, self.rows_of(name), fusions[name], layers[name], times, text[first:], self.scale.get(name, 1.0), shared=shared
                )
        return tuple(replace(self._made[name], step=step if shared else 0) for name in self.adapters)

    def _keep(self, run: tuple[Tensor, list[float]] | None) -> None:
        """Drop what was made for another prompt or other steps than these; None keeps nothing, not even for the next call."""
        same = run is not None and self._run is not None and run[0] is self._run[0] and run[1] == self._run[1]
        if not same:
            self._made.clear()
            if self.cache is not None:
                self.cache.clear()
        self._run = run

    def _steps_of_run(self) -> list[float]:
        """The times of all steps, read off the device once a run; none where they are not known."""
        steps = None if self.timesteps is None else self.timesteps()
        if steps is not self._steps[0]:
            self._steps = steps, steps.float().tolist()
        return self._steps[1]


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
