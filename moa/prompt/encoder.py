"""The subject encoder: any image encoder of transformers, frozen; by default the prior's own CLIP."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from moa.prompt.subject import SubjectEmbedding

OWN_ENCODER = "prior"  # the name of a prior's own image encoder in an adapter's JSON


class SubjectEncoder:
    """Pictures to patch features: all tokens of the encoder's last hidden state, the pooled token first.

    `model` is a vision model of transformers (CLIP, DINOv2, SigLIP, ...), `processor` its image processor. The model is
    never trained here. `name` goes into what is saved, and an adapter refuses another encoder than its own.
    """

    def __init__(self, model: nn.Module, processor, *, name: str):
        self.model, self.processor, self.name = model, processor, name

    @property
    def width(self) -> int:
        """Width d of the features."""
        config = self.model.config
        return getattr(config, "vision_config", config).hidden_size

    @classmethod
    def from_pretrained(cls, path: str) -> "SubjectEncoder":
        """Any vision model folder or hub id of transformers (imports it on call)."""
        from transformers import AutoImageProcessor, AutoModel

        model = AutoModel.from_pretrained(path)
        return cls(getattr(model, "vision_model", model), AutoImageProcessor.from_pretrained(path), name=path)

    def pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "p 3 h w"]:
        """Pictures as the encoder reads them."""
        return self.processor(images=[image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]

    @torch.no_grad()
    def features(self, pixels: Float[Tensor, "p 3 h w"]) -> Float[Tensor, "p n d"]:
        """Patch features of prepared pixels."""
        weight = next(self.model.parameters())
        return self.model(pixels.to(weight.device, weight.dtype)).last_hidden_state.float()

    def encode(self, images: Sequence[Image.Image], noun: str | None = None) -> SubjectEmbedding:
        """One subject from one or more of its pictures.

        Errors: ValueError for no picture.
        """
        if not images:
            raise ValueError("A subject got an empty list of pictures; give at least one.")
        return SubjectEmbedding(self.features(self.pixels(images)), self.name, noun)
