"""Small random models of every supported family, in the real classes and the real folder layout."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from moa.training.tokenizer import train_tokenizer

WORDS = [
    "a",
    "person",
    "and",
    "the",
    "dog",
    "in",
    "snow",
    "at",
    "night",
    "with",
    "red",
    "hair",
    "wearing",
    "green",
    "hoodie",
    "robot",
    "left",
    "of",
    "behind",
    "by",
    "sea",
]
LEVELS = dict(
    sample_size=8,
    block_out_channels=(32, 64),
    layers_per_block=1,
    norm_num_groups=8,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
UNETS = {
    "sd15": dict(cross_attention_dim=32, attention_head_dim=4),
    "sd21": dict(cross_attention_dim=48, attention_head_dim=(2, 4), use_linear_projection=True, upcast_attention=True),
    "sdxl": dict(
        cross_attention_dim=64, attention_head_dim=(2, 4), use_linear_projection=True, transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=8 * 6 + 32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ),
}  # fmt: skip


def make_unet(family: str, seed: int = 0) -> UNet2DConditionModel:
    """A random UNet of a family, in evaluation mode; its output layer is not zero."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(**{**LEVELS, **UNETS[family]}).eval()


def unet_call(family: str, batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict:
    """Keyword arguments for one call of that UNet."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(batch, 9, UNETS[family]["cross_attention_dim"], generator=generator, dtype=dtype)
    call = {
        "sample": torch.randn(batch, 4, 8, 8, generator=generator, dtype=dtype),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": text,
    }
    if family == "sdxl":
        ids = torch.tensor([[64, 64, 0, 0, 64, 64]], dtype=dtype).repeat(batch, 1)
        call["added_cond_kwargs"] = {"text_embeds": torch.randn(batch, 32, generator=generator, dtype=dtype), "time_ids": ids}
    return call


def _text_encoder(width: int, vocabulary: int, projection: int | None = None):
    config = CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1,
        projection_dim=projection or width,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def make_pipeline(family: str, seed: int = 0):
    """A complete random stock pipeline of a family."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer([" ".join(WORDS)] * 4, vocabulary=600)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=(8, 8),
        norm_num_groups=4, latent_channels=4, sample_size=16,
    ).eval()  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16, projection_dim=16
    )
    parts = dict(
        vae=vae,
        unet=make_unet(family, seed),
        tokenizer=tokenizer,
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    )
    if family == "sdxl":
        parts |= dict(
            text_encoder=_text_encoder(32, len(tokenizer)), text_encoder_2=_text_encoder(32, len(tokenizer), 32),
            tokenizer_2=tokenizer, scheduler=EulerDiscreteScheduler(),
        )  # fmt: skip
        return StableDiffusionXLPipeline(**parts)
    prediction = "v_prediction" if family == "sd21" else "epsilon"
    parts |= dict(
        text_encoder=_text_encoder(UNETS[family]["cross_attention_dim"], len(tokenizer)),
        scheduler=DDIMScheduler(prediction_type=prediction, steps_offset=1, clip_sample=False),
    )
    return StableDiffusionPipeline(**parts, safety_checker=None, requires_safety_checker=False)


def save_pipeline(family: str, folder: Path, seed: int = 0) -> Path:
    """The folder of `make_pipeline`."""
    make_pipeline(family, seed).save_pretrained(folder)
    return folder
