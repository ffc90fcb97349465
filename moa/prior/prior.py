"""A prior as training sees it: frozen networks with the handful of operations an objective needs."""

from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moa import diffusion


@dataclass(frozen=True, slots=True)
class TextCondition:
    """What the UNet reads: text states (b l d) and the family's added conditions, if it has any."""

    states: Float[Tensor, "b l d"]
    added: dict[str, Tensor] | None


class Prior(nn.Module):
    """The networks of a stock pipeline, frozen and in evaluation mode; `family` is the file of its family's facts."""

    def __init__(self, pipe, family: ModuleType, name: str):
        super().__init__()
        self.family, self.name = family, name
        self.unet, self.vae = pipe.unet, pipe.vae
        self.text_encoders = nn.ModuleList(getattr(pipe, part) for part in family.TEXT_ENCODERS)
        self.requires_grad_(False).eval()
        self.__dict__["pipe"] = pipe

    def train(self, mode: bool = True) -> "Prior":
        """Stays in evaluation mode: a frozen prior has no training mode."""
        return super().train(False)

    @property
    def tokenizer(self):
        """The tokenizer that positions of subjects refer to."""
        return self.pipe.tokenizer

    @property
    def prediction_type(self) -> str:
        """epsilon, v_prediction or sample."""
        return self.pipe.scheduler.config.prediction_type

    @property
    def train_timesteps(self) -> int:
        """Number of diffusion times the prior was trained on."""
        return self.pipe.scheduler.config.num_train_timesteps

    @property
    def pixels(self) -> int:
        """Side of the pictures it draws by default, in pixels."""
        return self.unet.config.sample_size * self.pipe.vae_scale_factor

    def alpha_bar(self, timestep: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The schedule's cumulative alpha at each time."""
        return self.pipe.scheduler.alphas_cumprod.to(timestep.device)[timestep]

    @torch.no_grad()
    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Latents of pictures in -1..1."""
        return encode_images(self.vae, images)

    @torch.no_grad()
    def encode_text(self, prompts: list[str], size: tuple[int, int]) -> TextCondition:
        """Text conditions for pictures of `size` (h, w) pixels."""
        states, pooled = self.family.encode_text(self.pipe, prompts, self.vae.device)
        return TextCondition(states, self.family.added_conditions(pooled, size))

    def target(self, latents: Tensor, noise: Tensor, timestep: Int[Tensor, " b"]) -> Tensor:
        """What the UNet should answer."""
        return diffusion.target(self.prediction_type, latents, noise, self.alpha_bar(timestep))


def encode_images(vae: nn.Module, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Latents of pictures in -1..1, the posterior's means, scaled as the UNet expects them, in float32.

    An autoencoder that overflows in half precision (SDXL's, by its `force_upcast`) computes in float32, as in the stock pipelines.
    """
    dtype = vae.dtype
    upcast = dtype == torch.float16 and vae.config.force_upcast
    if upcast:
        vae.to(torch.float32)
    latents = vae.encode(images.to(vae.dtype)).latent_dist.mean
    if upcast:
        vae.to(dtype)
    return latents.float() * vae.config.scaling_factor
