"""An exponential moving average of the trainable tensors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """Float32 averages of named parameters; the first steps count more, so that the start is forgotten quickly.

    "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 (arXiv 2312.02696) on why the averages are what to keep.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay={decay} is out of range; 0 <= ema_decay < 1, or null for none; change train.ema_decay")
        self.decay = decay
        self.tensors = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """Moves the averages towards the parameters after step number `step` (1, 2, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.tensors.items():
            average.lerp_(parameters[name].detach(), 1 - decay)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes saved averages."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])


@contextmanager
def averaged(parameters: Mapping[str, Tensor], average: Average | None) -> Iterator[None]:
    """Runs its body with the averages in the parameters' place, then puts the parameters back bit for bit."""
    if average is None:
        yield
        return
    live = {name: p.detach().clone() for name, p in parameters.items()}
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(average.tensors[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(live[name])
