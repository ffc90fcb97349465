"""Stable Diffusion XL: two text encoders side by side, pooled text and picture sizes as added conditions."""

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

STOCK = StableDiffusionXLPipeline
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
IMAGE_ENCODER = "openai/clip-vit-large-patch14"  # of subjects, where the model brings none of its own


def encode_text(pipe: StableDiffusionXLPipeline, prompts: list[str], device) -> tuple[Tensor, Tensor]:
    """Text states (b l d) of both encoders joined in width, and the pooled text (b d)."""
    states, _, pooled, _ = pipe.encode_prompt(prompts, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False)
    return states, pooled


def added_conditions(pooled: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """SDXL's micro-conditions for an uncropped picture of `size` (h, w) pixels (2307.01952, section 2.2)."""
    ids = torch.tensor([*size, 0, 0, *size], dtype=pooled.dtype, device=pooled.device)
    return {"text_embeds": pooled, "time_ids": ids.expand(len(pooled), -1)}
