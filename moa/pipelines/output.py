"""What a pipeline call answers."""

from dataclasses import dataclass

from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from torch import Tensor


@dataclass
class MoAOutput(StableDiffusionPipelineOutput):
    """The stock output, and where the experts drew.

    `routing` (b e h w) is the mean weight of each expert over layers and steps, index 0 the prior; with
    `output_routing="full"` a dict {(step, layer name): (b e h w)}. `experts` names index 1 and up. `subject_maps[b]` is
    where each named subject is, {name: (h w)} in 0..1.
    """

    routing: Tensor | dict[tuple[int, str], Tensor] | None = None
    experts: tuple[str, ...] = ()
    subject_maps: list[dict[str, Tensor]] | None = None
