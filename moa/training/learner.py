"""One optimisation step: the gradients of all parts of a batch, checked, clipped and applied."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import set_seed
from torch import Tensor, nn

from moa.training.interruption import Interruption
from moa.training.numbers import Numbers, check_finite, clip_gradients, seed_of


@dataclass(frozen=True)
class Learner:
    """What every step needs: `loader` is endless, and a step takes `parts` micro-batches from it in each process.

    All randomness of a step is a pure function of (seed, step, part, process).
    """

    accelerator: Accelerator
    model: nn.Module
    optimizer: AcceleratedOptimizer
    loader: Iterator
    parameters: Mapping[str, Tensor]
    seed: int
    parts: int
    clip_norm: float | None

    def step(self, number: int, factor: float, interruption: Interruption) -> tuple[dict[str, float], float, bool]:
        """Step `number` at `factor` times the optimizer's learning rates.

        Returns the losses over all processes, the gradient's norm, and whether some process was
        asked to stop.

        Errors: ValueError naming the loss or gradient that is not finite; the parameters are then as before.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        losses, stop = self._add_gradients(number).mean(self.accelerator, interruption.asked)
        check_finite(losses, number)
        norm = clip_gradients(self.accelerator, self.parameters, self.clip_norm, number)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses, float(norm), stop

    def _add_gradients(self, number: int) -> Numbers:
        """The gradients of one step, summed over its parts; gives their losses."""
        numbers = Numbers()
        for part in range(self.parts):
            generator = self._generator(number, part)
            batch = _to_device(next(self.loader), self.accelerator.device)
            with self.accelerator.no_sync(self.model) if part < self.parts - 1 else nullcontext():
                loss, values = self.model(batch, generator)
                self.accelerator.backward(loss / self.parts)
            numbers.add(loss, values)
        return numbers

    def _generator(self, number: int, part: int) -> torch.Generator:
        """Seeds the global generators and gives one of its own."""
        seed = seed_of(self.seed, number, part, self.accelerator.process_index)
        set_seed(seed)
        return torch.Generator(self.accelerator.device).manual_seed(seed)


def _to_device(batch: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Moves a named tuple of tensors."""
    return type(batch)(*(t.to(device, non_blocking=True) if isinstance(t, Tensor) else t for t in batch))
