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
        self.count = 0

    def add(self, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        """Adds one micro-batch; the parts must not use the name `loss`."""
        assert "loss" not in parts
        for name, value in {"loss": loss, **parts}.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def mean(self, accelerator: Accelerator, asked: bool) -> tuple[dict[str, float], bool]:
        """The averages over micro-batches and processes, and whether any process was asked to stop; one transfer for all."""
        flag = torch.tensor(float(asked), device=accelerator.device)
        row = torch.stack([*(value / self.count for value in self.sums.values()), flag])
        *values, stop = accelerator.reduce(row, reduction="mean").tolist()
        return dict(zip(self.sums, values, strict=True)), stop > 0


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
