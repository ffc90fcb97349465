"""Keeping the context: outside its subjects a picture is the prior's own of the same noise, put back after every step.

Blended Latent Diffusion (2206.02779, section 3) does so with a given picture outside a given mask. That the picture is the prior's
answer to the same words, and the mask what the routers claim for their experts, is our choice. It costs the prior's run once more.
Where the prior's own figure is larger than the subject, what no router claims of it stays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from jaxtyping import Float
from torch import Tensor

from moa.where.recorder import Recorder
from moa.where.subjects import Subjects

MARGIN = 1  # latent pixels around what is claimed, so that a subject's outline is still its own
StepEnd = Callable[[Any, int, Any, dict[str, Tensor]], dict[str, Tensor]]  # diffusers' callback_on_step_end


def kept(pipe, call: Mapping[str, Any], recorder: Recorder, subjects: Subjects) -> dict[str, Any]:
    """What changes in a call of `pipe`, given by name with its prompt in words, so that it keeps the prior's context.

    The prior draws first, from the same noise. Callbacks of diffusers' own kind (`PipelineCallback`) act on that run too, as they change
    how pictures are drawn; a plain function sees the second run alone. A first run that is interrupted ends the second at its step.
    """
    generator = call.get("generator") or torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    again = [g.clone_state() for g in generator] if isinstance(generator, list) else generator.clone_state()
    past: list[Tensor] = []
    after = call.get("callback_on_step_end")
    read = getattr(after, "tensor_inputs", None) or call.get("callback_on_step_end_tensor_inputs") or []
    tensors = {"callback_on_step_end_tensor_inputs": ["latents", *(name for name in read if name != "latents")]}
    first = remember(past, after if isinstance(after, (PipelineCallback, MultiPipelineCallbacks)) else None)
    asked = {name: value for name, value in call.items() if name not in ("callback", "callback_steps")}  # diffusers' older plain function
    with pipe.moa.subjects(None):
        pipe(**{**asked, **tensors, "callback_on_step_end": first, "generator": again, "output_type": "latent"})
    second = put_back(past, lambda: claimed(recorder, subjects), after)
    return {"generator": generator, "callback_on_step_end": second, **tensors}


def remember(past: list[Tensor], after: StepEnd | None = None) -> StepEnd:
    """Appends the latents (b c h w) after each step, and after a callback that acts on this run too."""

    def step_end(pipe, step: int, time, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = {} if after is None else after(pipe, step, time, tensors)
        past.append(changed.get("latents", tensors["latents"]).clone())
        return changed

    return step_end


def put_back(past: list[Tensor], region: Callable[[], Float[Tensor, "b 1 h w"] | None], after: StepEnd | None) -> StepEnd:
    """After each step, and after the caller's own callback, the latents of `past` outside the region so far; None is nowhere yet."""

    def step_end(pipe, step: int, time, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = {} if after is None else after(pipe, step, time, tensors)
        if step >= len(past):  # the prior's own run was interrupted here
            pipe._interrupt = True
            return changed
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
    claims = recorder.claims()
    if claims is None:
        return None
    strengths = claims.new_tensor([subjects.scale.get(name) or 1.0 for name in recorder.experts])
    experts = (claims / strengths[:, None, None]).sum(1, keepdim=True)
    return F.max_pool2d((experts > 0.5).to(claims.dtype), 2 * MARGIN + 1, stride=1, padding=MARGIN)
