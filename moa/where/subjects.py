"""The subjects of one sampling run or training step, and the expert contexts they become at each UNet call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moa.where.context import ExpertContext
from moa.where.layout import Placed, make_expert


@dataclass(slots=True)
class Subjects:
    """Mentions by prompt. `images_per_prompt` copies of each prompt follow one another in the UNet's batch.

    `timesteps`, when known, is asked once for all steps of the run, so that tokens are made for all of them at once. `begun` is the step
    at which the run begins, None for the first one seen. `counted` says that a batch of twice the pictures is known to be guidance.
    """

    prompts: Sequence[Sequence[Placed]]
    images_per_prompt: int = 1
    timesteps: Callable[[], Tensor] | None = None
    scale: dict[str, float] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 1.0)
    train_timesteps: int = 1000
    cache: dict[tuple, Any] | None = None
    begun: int | None = None
    counted: bool = False
    _made: dict = field(default_factory=dict)
    _run: tuple[Tensor, list[float]] | None = None
    _steps: tuple[Tensor | None, list[float]] = (None, [])
    _first: int | None = None

    @property
    def adapters(self) -> list[str]:
        """The adapters that have something to draw, in order of appearance."""
        return list(dict.fromkeys(p.adapter for prompt in self.prompts for p in prompt if self.strength(p) > 0))

    @property
    def met(self) -> bool:
        """Whether a UNet was called with them, at any step."""
        return self._first is not None

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

        The window is in steps of the run, from the first that is taken (img2img begins late in its schedule), where this time is
        one of them, else in diffusion time.

        Errors: ValueError as `first`, and for a batch of twice the prompts that is no guidance.
        """
        first, now, steps = self.first(len(text)), float(timestep[0]), self._steps_of_run()
        step = steps.index(now) if now in steps else None
        if self._first is None:
            self._first = step if self.begun is None else self.begun
        start, end = self.window
        done = 1 - now / self.train_timesteps if step is None else (step - self._first) / (len(steps) - self._first)
        if not (start <= done < end or (end == 1 and done >= start)):
            return ()
        shared = step is not None and self.cache is not None
        self._keep((text, steps) if shared else None)
        if first and not self.counted and not self._made and torch.equal(text[:first], text[first:]):
            raise ValueError(
                f"The UNet was called with the same words in both halves of a batch of {len(text)}, so these are pictures, not guidance, and the subjects "
                f"were given for {first} of them; pass num_images_per_prompt={2 * self.images_per_prompt} where the subjects are given too, or, if it is "
                "guidance, another negative prompt."
            )
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
            self._steps, self._first = (steps, steps.float().tolist()), None
        return self._steps[1]
