"""Who draws: a pipeline with or without its adapter, or the world itself. A painter turns cases into pictures."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from tqdm import tqdm

from moa.evaluation.protocol import Case
from moa.pipelines import MoAPipeline

SIDE = 128  # pixels that pictures are measured at


@dataclass(frozen=True, slots=True)
class Picture:
    """What was drawn (uint8, h w 3), where the experts drew together (h w, 0..1; None without any), and each subject's own map."""

    image: UInt8[np.ndarray, "h w 3"]
    experts: Float[np.ndarray, "h w"] | None = None
    maps: dict[str, Float[np.ndarray, "h w"]] = field(default_factory=dict)


@runtime_checkable
class Painter(Protocol):
    """Draws every case, in order."""

    def __call__(self, cases: Sequence[Case]) -> list[Picture]: ...


def world_painter(cases: Sequence[Case]) -> list[Picture]:
    """Real renders of what was asked for: the reader's ceiling."""
    return [Picture(case.render()) for case in cases]


@dataclass(frozen=True, slots=True)
class PipelinePainter:
    """A pipeline with its settings; with `personal` the subjects' pictures go along, without, the prior reads their noun.

    `keep_context` is as in the pipeline's call.
    """

    pipe: MoAPipeline
    personal: bool
    steps: int
    guidance: float
    batch_size: int
    keep_context: bool = False

    def __call__(self, cases: Sequence[Case]) -> list[Picture]:
        self.pipe.set_progress_bar_config(disable=True)
        starts = range(0, len(cases), self.batch_size)
        label = "with subjects" if self.personal else "prior alone"
        rows = (self._draw(cases[start : start + self.batch_size]) for start in tqdm(starts, label, leave=False, unit="batch"))
        return [picture for row in rows for picture in row]

    def _draw(self, cases: Sequence[Case]) -> Iterator[Picture]:
        common = dict(
            num_inference_steps=self.steps, guidance_scale=self.guidance,
            generator=[torch.Generator().manual_seed(case.seed) for case in cases],
        )  # fmt: skip
        if not self.personal:
            yield from (Picture(as_array(image)) for image in self.pipe([case.plain for case in cases], **common).images)
            return
        subjects = [dict(zip(case.names, (part.reference() for part in case.parts), strict=True)) for case in cases]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a subject without room: that is what gets counted here
            out = self.pipe(
                [case.prompt for case in cases], subjects=subjects, output_routing=True, keep_context=self.keep_context, **common
            )
        for i, image in enumerate(out.images):
            experts = None if out.routing is None else out.routing[i, 1:].sum(0).float().cpu().numpy()
            maps = {name: found.float().cpu().numpy() for name, found in out.subject_maps[i].items()}
            yield Picture(as_array(image), experts, maps)


def as_array(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """A picture as numbers, `SIDE` pixels a side."""
    image = image.convert("RGB")
    return np.array(image if image.size == (SIDE, SIDE) else image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
