"""The tiny CLIP: a text and a picture encoder that agree on which caption belongs to which picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from moa.training.bank import Bank, Captioned, pictures
from moa.training.tokenizer import save_tokenizer, train_tokenizer

MEAN, STD = 0.5, 0.5
ATTENTION = "eager"  # its gradient is several times faster than the fused one's on a CPU, and as fast on these short sequences elsewhere


class PictureTexts(NamedTuple):
    """Pictures `(b c h w)`, uint8, and token numbers `(b l)`."""

    images: Tensor
    tokens: Tensor


def new_text_encoder(tokenizer: CLIPTokenizer, *, width: int, layers: int, heads: int, projection: int) -> CLIPTextModelWithProjection:
    """CLIP's text transformer for a tokenizer ("Learning Transferable Visual Models From Natural Language Supervision", section 2.4,
    arXiv 2103.00020)."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=projection,
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection._from_config(config, attn_implementation=ATTENTION)


def new_image_encoder(*, width: int, layers: int, heads: int, projection: int, size: int, patch: int) -> CLIPVisionModelWithProjection:
    """CLIP's vision transformer (section 2.4, arXiv 2103.00020) for pictures of `size` pixels in patches of `patch`."""
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=projection,
        image_size=size,
        patch_size=patch,
        hidden_act="quick_gelu",
    )
    return CLIPVisionModelWithProjection._from_config(config, attn_implementation=ATTENTION)


def new_clip(
    *,
    captions: Bank,
    validation: Dataset,
    vocabulary: int,
    text_width: int,
    text_layers: int,
    image_width: int,
    image_layers: int,
    head_width: int,
    projection: int,
    size: int,
    patch: int,
) -> "ClipObjective":
    """An untrained CLIP whose tokenizer knows the words of a bank's captions."""
    tokenizer = train_tokenizer(captions.captions, vocabulary=vocabulary)
    text_encoder = new_text_encoder(tokenizer, width=text_width, layers=text_layers, heads=text_width // head_width, projection=projection)
    image_encoder = new_image_encoder(
        width=image_width, layers=image_layers, heads=image_width // head_width, projection=projection, size=size, patch=patch
    )
    return ClipObjective(tokenizer, text_encoder, image_encoder, validation=validation)


class ClipObjective(nn.Module):
    """The symmetric contrastive loss (figure 3, arXiv 2103.00020) with a learned temperature."""

    def __init__(
        self, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModelWithProjection, image_encoder: CLIPVisionModelWithProjection,
        *, validation: Dataset,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokenizer, self.text_encoder, self.image_encoder = tokenizer, text_encoder, image_encoder
        self.log_scale = nn.Parameter(torch.tensor(2.659))
        self.validation = validation

    def collate(self, examples: Sequence[Captioned]) -> PictureTexts:
        captions = [example.caption for example in examples]
        tokens = self.tokenizer(captions, padding="longest", truncation=True, return_tensors="pt").input_ids
        return PictureTexts(pictures(examples), tokens)

    def embed(self, batch: PictureTexts) -> tuple[Tensor, Tensor]:
        """Unit vectors `(b d)` of the pictures and of the texts."""
        images = (batch.images.float() / 255 - MEAN) / STD
        return (
            F.normalize(self.image_encoder(pixel_values=images).image_embeds.float(), dim=-1),
            F.normalize(self.text_encoder(input_ids=batch.tokens).text_embeds.float(), dim=-1),
        )

    def forward(self, batch: PictureTexts, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        images, texts = self.embed(batch)
        logits = self.log_scale.clamp(max=4.6052).exp() * images @ texts.T
        right = torch.arange(len(logits), device=logits.device)
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
        return loss, {"accuracy": (logits.argmax(1) == right).float().mean(), "scale": self.log_scale.detach().exp()}

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """The part of held-out pictures whose own caption is nearest among all of them, and among the nearest five."""
        batch = self.collate([self.validation[i] for i in range(len(self.validation))])
        device = self.log_scale.device
        images, texts = self.embed(PictureTexts(batch.images.to(device), batch.tokens.to(device)))
        order = (images @ texts.T).argsort(1, descending=True)
        found = order == torch.arange(len(order), device=device).unsqueeze(1)
        return {"top1": float(found[:, :1].any(1).float().mean()), "top5": float(found[:, :5].any(1).float().mean())}

    def export(self, folder: Path) -> None:
        """Saves tokenizer, text encoder and image encoder side by side."""
        save_tokenizer(self.tokenizer, folder / "tokenizer")
        self.text_encoder.save_pretrained(folder / "text_encoder")
        self.image_encoder.save_pretrained(folder / "image_encoder")
