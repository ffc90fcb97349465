"""MoA on Stable Diffusion 1.x, 2.x and the embedded prior."""

from diffusers import StableDiffusionPipeline

from moa.pipelines.pipeline import MoAPipeline


class MoAStableDiffusionPipeline(MoAPipeline, StableDiffusionPipeline):
    """diffusers' StableDiffusionPipeline with subjects; opens its folders and saves such."""

    STOCK = "StableDiffusionPipeline"
