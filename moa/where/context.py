"""What the MoA layers read during one UNet call: one typed context, handed down with the call and kept by nobody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

Rows = slice | Int[Tensor, " r"] | None  # of a batch: these, or every one
T = TypeVar("T")


@dataclass(slots=True)
class Trace:
    """What the layers report, by layer name (a layer run twice, as gradient checkpointing does, reports once).

    `weights[site]` is (s n e) in float32, of the rows from the context's `first` on; index 0 is the prior, then the context's
    experts in their order. `attention[site, expert]` is (r m n), the share of each pixel's cross-attention at each subject
    token, for the sites named in `attention_sites`.
    """

    attention_sites: frozenset[str] = frozenset()
    weights: dict[str, Float[Tensor, "s n e"]] = field(default_factory=dict)
    attention: dict[tuple[str, str], Float[Tensor, "r m n"]] = field(default_factory=dict)

    def open(self, experts: "tuple[ExpertContext, ...]", size: tuple[int, int]) -> "Trace":
        """The trace of one UNet call: this one (a `Recorder` gives a fresh one each call)."""
        return self


@dataclass(frozen=True, slots=True)
class ExpertContext:
    """One adapter's part in one UNet call; it acts on `rows` (r of them, counted from the context's `first`) and on no other.

    `tokens` are the subject tokens of all steps for every cross-attention site, (t L r m d), and `step` says which of
    the t is now; `position` says which prompt slot each of the m tokens takes: below l it replaces that token, from l on
    it is appended, and at `length` it is padding and dropped. `scale` multiplies the expert's weight. `regions`, where
    the user drew them, confines each token to its pixels; `drawn` is their union and `undrawn` is 1 where some subject
    of the row has no region and the learned map still holds outside the union.
    """

    name: str
    rows: Rows
    tokens: Float[Tensor, "t L r m d"]
    layer: dict[str, int]
    step: int
    position: Int[Tensor, "r m"]
    length: int
    scale: float = 1.0
    padded: bool = False
    regions: Float[Tensor, "r m h w"] | None = None
    drawn: Float[Tensor, "r h w"] | None = None
    undrawn: Float[Tensor, " r"] | None = None


@dataclass(frozen=True, slots=True)
class MoAContext:
    """The whole of what a mounted UNet call adds. No expert, and every layer runs the prior's own code.

    `size` is the (h, w) of the UNet's sample, `timestep` one number a row, `cache` keeps what no step changes across one
    sampling run (None while training). No expert acts on the rows before `first`: the unconditional half under guidance.
    """

    experts: tuple[ExpertContext, ...]
    size: tuple[int, int]
    timestep: Float[Tensor, " b"]
    first: int = 0
    cache: dict[tuple, Any] | None = None
    trace: Trace | None = None

    def once(self, key: tuple, make: Callable[[], T]) -> T:
        """What `make` gives: made once per sampling run, and at every call while training."""
        if self.cache is None:
            return make()
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]


def grid_of(pixels: int, size: tuple[int, int]) -> tuple[int, int]:
    """The (h, w) of a layer that sees `pixels` pixels in a UNet whose sample is `size`; each level halves, rounding up."""
    height, width = size
    while height * width > pixels:
        height, width = (height + 1) // 2, (width + 1) // 2
    assert height * width == pixels, f"{pixels} pixels are no halving of {size}"
    return height, width
