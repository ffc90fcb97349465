"""Stable Diffusion 1.x and 2.x, and the embedded tiny prior: one CLIP text encoder, no added conditions."""

from diffusers import StableDiffusionPipeline
from torch import Tensor

STOCK = StableDiffusionPipeline
TEXT_ENCODERS = ("text_encoder",)
IMAGE_ENCODER = "openai/clip-vit-large-patch14"  # of subjects, where the model brings none of its own


def encode_text(pipe: StableDiffusionPipeline, prompts: list[str], device) -> tuple[Tensor, None]:
    """Text states (b l d) as the stock pipeline makes them."""
    states, _ = pipe.encode_prompt(prompts, device, num_images_per_prompt=1, do_classifier_free_guidance=False)
    return states, None


def added_conditions(pooled: None, size: tuple[int, int]) -> None:
    """None: the UNet reads nothing but the text."""
    return None
