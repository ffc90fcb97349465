"""What trains, and the optimizers that can move it."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn

from moa.training.muon import Muon


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name; not the state dict, from which experts hide.

    Raises: ValueError if there are none, or for one that is not float32.
    """
    found = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("the objective has no parameter that requires a gradient; at least one must train; check its settings")
    for name, p in found.items():
        if p.dtype != torch.float32:
            raise ValueError(f"{name} is {p.dtype}; what trains must be float32 (precision=bf16 casts inside); call .float() on it")
    return found


def adamw(
    parameters: Mapping[str, nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    betas: Sequence[float],
) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases and norms.

    "Decoupled Weight Decay Regularization", algorithm 2 (arXiv 1711.05101).
    """
    decayed = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    given = [group for group in groups if group["params"]]
    return torch.optim.AdamW(given, lr=learning_rate, betas=tuple(betas), fused=True)


def muon(
    parameters: Mapping[str, nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    betas: Sequence[float],
    adam_learning_rate: float,
    momentum: float = 0.95,
    min_channels: int = 1,
    exclude: Sequence[str] = (),
) -> Muon:
    """Muon at `learning_rate` for what `is_matrix` names, AdamW for the rest.

    Raises: ValueError for a name in `exclude` that no parameter has, or if nothing is a matrix.
    """
    for name in exclude:
        if not any(is_within(parameter, name) for parameter in parameters):
            raise ValueError(
                f"train.optimizer.exclude names {name!r}, but nothing that trains is called so; "
                f"names begin like {next(iter(parameters))!r}; correct it or leave it out"
            )
    rule = partial(is_matrix, min_channels=min_channels, exclude=exclude)
    matrices = {name: p for name, p in parameters.items() if rule(name, p.shape)}
    if not matrices:
        raise ValueError(
            f"train.optimizer finds no matrix with {min_channels} channels on both sides to train; "
            "at least one is needed; lower min_channels, shorten exclude, or choose adamw"
        )
    return Muon(
        matrices.values(),
        [p for name, p in parameters.items() if name not in matrices],
        learning_rate=learning_rate,
        adam_learning_rate=adam_learning_rate,
        weight_decay=weight_decay,
        momentum=momentum,
        betas=betas,
    )


def is_matrix(name: str, shape: Sequence[int], *, min_channels: int = 1, exclude: Sequence[str] = ()) -> bool:
    """Whether Muon takes a parameter: a matrix `(out, in)` or a kernel `(out, in, h, w)`.

    `out` and `in` must be at least `min_channels`. `exclude` names parameters, or modules with all
    that is in them, such as `unet.conv_in`.
    """
    wide = len(shape) >= 2 and min(shape[:2]) >= min_channels
    return wide and not any(is_within(name, module) for module in exclude)


def is_within(name: str, module: str) -> bool:
    """Whether the parameter `name` is `module` or lies in it."""
    return f"{name}.".startswith(f"{module}.")
