"""MoAPipeline: one thin subclass of diffusers' own pipeline per family."""

from moa.pipelines.output import MoAOutput
from moa.pipelines.pipeline import MoAPipeline
from moa.pipelines.sd import MoAStableDiffusionPipeline
from moa.pipelines.sdxl import MoAStableDiffusionXLPipeline

__all__ = ["MoAOutput", "MoAPipeline", "MoAStableDiffusionPipeline", "MoAStableDiffusionXLPipeline"]
