"""A step's losses: summed over micro-batches, averaged over processes, refused when they are not finite."""

import hashlib
import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor


class Numbers:
    """Gathers the loss and its named parts over the micro-batches of one step."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, loss: Tensor, parts: Mapping[str, Tensor | None]) -> None:
        """Adds one micro-batch. A part is None where the batch had nothing of its kind: every batch names the same parts, in the same order,
        and none of them is `loss`."""
        assert "loss" not in parts
        for name, value in {"loss": loss, **parts}.items():
            value = loss.new_zeros(()) if value is None else value
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().float()
            self.counts[name] = self.counts.get(name, 0) + (parts.get(name, loss) is not None)

    def mean(self, accelerator: Accelerator, asked: bool) -> tuple[dict[str, float], bool]:
        """The averages over micro-batches and processes, without parts that nobody had, and whether any process was asked to stop; one transfer
        for all."""
        rest = torch.tensor([*self.counts.values(), float(asked)], device=accelerator.device)
        *values, stop = accelerator.reduce(torch.cat([torch.stack([*self.sums.values()]), rest]), reduction="sum").tolist()
        sums, counts = values[: len(self.sums)], values[len(self.sums) :]
        return {name: total / count for name, total, count in zip(self.sums, sums, counts, strict=True) if count}, stop > 0


def check_finite(losses: Mapping[str, float], step: int) -> None:
    """ValueError names the parts that are not finite; the total is named only where every part is finite."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    named = [name for name in bad if name != "loss"] or bad
    if named:
        listed = ", ".join(f"{name} = {losses[name]}" for name in named)
        raise ValueError(
            f"step {step}: {listed}; losses must be finite. Nothing of this step was saved: lower learning_rate, "
            "or set precision=no, and resume=latest continues from the last checkpoint"
        )


def clip_gradients(accelerator: Accelerator, parameters: Mapping[str, Tensor], largest: float | None, step: int) -> Tensor:
    """Scales the gradients down to a norm of at most `largest` ("On the difficulty of training recurrent neural networks", algorithm 1,
    arXiv 1211.5063) and returns the norm before.

    ValueError names the first parameter whose gradient is not finite; under fp16 the loss scaler skips such a step instead.
    """
    accelerator.unscale_gradients()
    tensors = [p for p in parameters.values() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in tensors])
    if accelerator.mixed_precision != "fp16" and not torch.isfinite(norm):
        bad = [name for name, p in parameters.items() if p.grad is not None and not torch.isfinite(p.grad).all()]
        raise ValueError(
            f"step {step}: the gradient of {', '.join(bad[:1]) or 'all parameters together'} is not finite ({len(bad)} such tensors). Nothing "
            "of this step was saved: lower learning_rate, or set precision=no, and resume=latest continues from the last checkpoint"
        )
    if largest is not None:
        torch.nn.utils.clip_grads_with_norm_(tensors, largest, norm)
    return norm


def seed_of(*numbers: int) -> int:
    """One 32-bit seed for a tuple of integers, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest(), "big")
