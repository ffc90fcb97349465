"""Muon for matrices and kernels, AdamW for the rest, in one optimizer."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, distributed, nn
from torch.optim.adamw import adamw

from moa.training.newton_schulz import cost, orthogonalised


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalised momentum of each matrix; the other parameters move by AdamW.

    "Muon: An optimizer for hidden layers in neural networks" (Jordan et al., 2024), with decoupled
    weight decay ("Muon is Scalable for LLM Training", section 2.2, arXiv 2502.16982). A kernel is
    the matrix `(out, in h w)`; what has one dimension does not decay. Among several processes each
    orthogonalises a share of the matrices, and all of them step alike, bit for bit.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        adam_learning_rate: float,
        weight_decay: float,
        momentum: float,
        betas: Sequence[float],
    ) -> None:
        muon = {"lr": learning_rate, "momentum": momentum}
        adam = {"lr": adam_learning_rate, "betas": tuple(betas), "eps": 1e-8}
        rest = list(others)
        decayed = [p for p in rest if p.ndim > 1]
        undecayed = [p for p in rest if p.ndim <= 1]
        groups = [
            {"params": list(matrices), "weight_decay": weight_decay, **muon},
            {"params": decayed, "weight_decay": weight_decay, **adam},
            {"params": undecayed, "weight_decay": 0.0, **adam},
        ]
        super().__init__([group for group in groups if group["params"]], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Moves every parameter that has a gradient."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if "momentum" in group:
                self._step_matrices(parameters, group)
            else:
                self._step_others(parameters, group)
        return loss

    def _step_matrices(self, parameters: Sequence[Tensor], group: Mapping[str, float]) -> None:
        momentum = group["momentum"]
        averages = [self._moments(p, "momentum_buffer")[0] for p in parameters]
        for p, average in zip(parameters, averages, strict=True):
            average.lerp_(p.grad, 1 - momentum)

        def direction(number: int) -> Tensor:
            p = parameters[number]
            nesterov = p.grad.lerp(averages[number], momentum)
            return orthogonalised(nesterov.flatten(1)).reshape(p.shape).to(p.dtype)

        for p, update in zip(parameters, each_by_one(direction, parameters), strict=True):
            rows = len(p)
            columns = p[0].numel()
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))

    def _step_others(self, parameters: Sequence[Tensor], group: Mapping[str, object]) -> None:
        moments = [self._moments(p, "exp_avg", "exp_avg_sq", "step") for p in parameters]
        adamw(
            parameters,
            [laid_out_as(p, p.grad) for p in parameters],
            [first for first, _, _ in moments],
            [second for _, second, _ in moments],
            [],
            [step for _, _, step in moments],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _moments(self, p: Tensor, *names: str) -> list[Tensor]:
        """What is remembered of a parameter: `step` a number, the rest laid out as the parameter.

        Fused kernels walk all of them alike, and with other strides sums may round differently.
        Raises: ValueError if a checkpoint of another optimizer was taken up.
        """
        state = self.state[p]
        if not state:
            state.update({name: torch.zeros_like(p) for name in names if name != "step"})
            state.update({name: p.new_zeros(()) for name in names if name == "step"})
        if set(state) != set(names):
            raise ValueError(
                f"a parameter of shape {tuple(p.shape)} comes with {', '.join(sorted(state))}; "
                f"{', '.join(sorted(names))} is needed; resume with the train.optimizer that the "
                "checkpoint was written with"
            )
        state.update({name: laid_out_as(p, state[name]) for name in names if name != "step"})
        return [state[name] for name in names]


def laid_out_as(p: Tensor, value: Tensor) -> Tensor:
    """The same values with the strides of `p`; `value` itself where it has them."""
    return value if value.stride() == p.stride() else torch.empty_like(p).copy_(value)


def each_by_one(task: Callable[[int], Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """`task(number)`, of the shape and dtype of its parameter, for all of them.

    Each is computed by one process, which sends it to the others while it computes the next.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [task(number) for number in range(len(parameters))]
    costs = [cost(len(p), p[0].numel()) for p in parameters]
    shared_out = owners(costs, distributed.get_world_size())
    found = []
    sent = []
    for number, owner in enumerate(shared_out):
        p = parameters[number]
        mine = owner == distributed.get_rank()
        found.append(task(number).contiguous() if mine else p.new_empty(p.shape))
        sent.append(distributed.broadcast(found[number], src=owner, async_op=True))
    for work in sent:
        work.wait()
    return found


def owners(costs: Sequence[float], processes: int) -> list[int]:
    """The process of each task: the dearest are given out first, to whoever has least to do."""
    loads = [0.0] * processes
    found = [0] * len(costs)
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):
        found[number] = loads.index(min(loads))
        loads[found[number]] += costs[number]
    return found
