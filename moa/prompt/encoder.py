"""The subject encoder: any image encoder of transformers, frozen; by default the prior's own CLIP."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from moa.places import find_model
from moa.prompt.subject import SubjectEmbedding

OWN_ENCODER = "prior"  # the name of a prior's own image encoder in an adapter's JSON


class SubjectEncoder:
    """Pictures to patch features: all tokens of the encoder's last hidden state, the pooled token first.

    `model` is a vision model of transformers (CLIP, DINOv2, SigLIP, ...; the map of a convolutional one becomes its mean and
    its cells), `processor` its image processor. The model is never trained here. `name` goes into what is saved, and an
    adapter refuses another encoder than its own.
    """

    def __init__(self, model: nn.Module, processor, *, name: str):
        self.model, self.processor, self.name = model, processor, name

    @property
    def width(self) -> int:
        """Width d of the features."""
        config = getattr(self.model.config, "vision_config", self.model.config)
        return config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]

    @classmethod
    def from_pretrained(cls, path: str) -> "SubjectEncoder":
        """Any vision model folder (also an embedded one by name) or hub id of transformers (imports it on call), in float32.

        Errors: ValueError for one that is missing or damaged.
        """
        from transformers import AutoImageProcessor, AutoModel

        place = find_model(path)
        try:
            model = AutoModel.from_pretrained(place, dtype=torch.float32, use_safetensors=True).eval()
            processor = AutoImageProcessor.from_pretrained(place)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(
                f"The subject encoder {str(path)!r} cannot be opened ({reason}). Give its folder or hub id, or load_moa(..., encoder=) another of its width."
            ) from error
        return cls(getattr(model, "vision_model", model), processor, name=path)

    def pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "p 3 h w"]:
        """Pictures as the encoder reads them."""
        return self.processor(images=[image.convert("RGB") for image in images], return_tensors="pt")["pixel_values"]

    @torch.no_grad()
    def features(self, pixels: Float[Tensor, "p 3 h w"]) -> Float[Tensor, "p n d"]:
        """Patch features of prepared pixels."""
        weight = next(self.model.parameters())
        # meta: offloaded, and its hooks move them
        pixels = pixels.to(weight.dtype) if weight.is_meta else pixels.to(weight.device, weight.dtype)
        hidden = self.model(pixels).last_hidden_state.float()
        if hidden.ndim == 4:
            cells = rearrange(hidden, "p d h w -> p (h w) d")
            hidden = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        return hidden

    def encode(self, images: Sequence[Image.Image], noun: str | None = None) -> SubjectEmbedding:
        """One subject from one or more of its pictures.

        Errors: ValueError for no picture.
        """
        if not images:
            raise ValueError("A subject got an empty list of pictures; give at least one.")
        return SubjectEmbedding(self.features(self.pixels(images)), self.name, noun)
