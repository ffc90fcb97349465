"""Keeping the context: outside its subjects a picture is the prior's own of the same noise, put back after every step.

Blended Latent Diffusion (2206.02779, section 3) does so with a given picture outside a given mask. That the picture is the prior's
answer to the same words, and the mask what the routers claim for their experts, is our choice. It costs the prior's run once more.
Where the prior's own figure is larger than the subject, what no router claims of it stays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from moa.where.recorder import Recorder
from moa.where.subjects import Subjects

MARGIN = 1  # latent pixels around what is claimed, so that a subject's outline is still its own
StepEnd = Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]]  # diffusers' callback_on_step_end


def kept(pipe, call: Mapping[str, Any], recorder: Recorder, subjects: Subjects) -> dict[str, Any]:
    """What changes in a call of `pipe`, given by name with its prompt in words, so that it keeps the prior's context.

    The prior draws first, from the same noise.
    """
    generator = call.get("generator") or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    again = [g.clone_state() for g in generator] if isinstance(generator, list) else generator.clone_state()
    past: list[Tensor] = []
    own = {"callback_on_step_end": remember(past), "callback_on_step_end_tensor_inputs": ["latents"], "output_type": "latent"}
    pipe(**{**call, **own, "generator": again})
    after = call.get("callback_on_step_end")
    read = call.get("callback_on_step_end_tensor_inputs") or getattr(after, "tensor_inputs", None) or []
    return {
        "generator": generator,
        "callback_on_step_end": put_back(past, lambda: claimed(recorder, subjects), after),
        "callback_on_step_end_tensor_inputs": ["latents", *(name for name in read if name != "latents")],
    }


def remember(past: list[Tensor]) -> StepEnd:
    """Appends the latents (b c h w) after each step."""

    def step_end(pipe, step: int, time, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        past.append(tensors["latents"].clone())
        return {}

    return step_end


def put_back(past: list[Tensor], region: Callable[[], Float[Tensor, "b 1 h w"] | None], after: StepEnd | None) -> StepEnd:
    """After each step, and after the caller's own callback, the latents of `past` outside the region so far; None is nowhere yet."""

    def step_end(pipe, step: int, time, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = {} if after is None else after(pipe, step, time, tensors)
        mask = region()
        if mask is None:
            return changed
        latents = changed.get("latents", tensors["latents"])
        return {**changed, "latents": torch.lerp(past[step].to(latents), latents, mask.to(latents))}

    return step_end


def claimed(recorder: Recorder, subjects: Subjects) -> Float[Tensor, "b 1 h w"] | None:
    """1 where the routers, up to this step, prefer the experts to the prior, and around it; None before any expert has acted.

    The weights are the routers' own, before an adapter's strength lessens them.
    """
    routing = recorder.routing()
    if routing is None:
        return None
    strengths = routing.new_tensor([subjects.scale.get(name) or 1.0 for name in recorder.experts])
    experts = (routing[:, 1:] / strengths[:, None, None]).sum(1, keepdim=True)
    return F.max_pool2d((experts > 0.5).to(routing.dtype), 2 * MARGIN + 1, stride=1, padding=MARGIN)
