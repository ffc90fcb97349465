"""What trains, and the optimizer that moves it."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name; they must be float32. Not the state dict: mounted experts hide from that."""
    found = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("the objective has no parameter that requires a gradient; at least one must train; check its settings")
    for name, p in found.items():
        if p.dtype != torch.float32:
            raise ValueError(f"{name} is {p.dtype}; what trains must be float32 (precision=bf16 casts inside); call .float() on it")
    return found


def adamw(parameters: Mapping[str, nn.Parameter], *, weight_decay: float, betas: Sequence[float]) -> torch.optim.AdamW:
    """AdamW ("Decoupled Weight Decay Regularization", algorithm 2, arXiv 1711.05101) that decays matrices and kernels, not biases and norms."""
    decayed = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=tuple(betas), fused=True)
