"""MoA on Stable Diffusion XL."""

from diffusers import StableDiffusionXLPipeline

from moa.pipelines.pipeline import MoAPipeline


class MoAStableDiffusionXLPipeline(MoAPipeline, StableDiffusionXLPipeline):
    """diffusers' StableDiffusionXLPipeline with subjects; opens its folders and saves such."""

    STOCK = "StableDiffusionXLPipeline"
