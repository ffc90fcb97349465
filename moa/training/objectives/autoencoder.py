"""The autoencoder of the tiny prior: stock AutoencoderKL, learned from crops of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.utils.data import Dataset

from moa.training.bank import Captioned, pictures, to_signed, to_unsigned
from moa.training.cpu import quicken
from moa.training.latents import load_autoencoder
from moa.training.sheets import save_sheet


class Pictures(NamedTuple):
    """Pictures `(b c h w)`, uint8."""

    images: Tensor


def new_autoencoder(*, channels: Sequence[int], latent_channels: int, layers: int, norm_groups: int, size: int) -> AutoencoderKL:
    """An AutoencoderKL without attention that halves the size `len(channels) - 1` times ("High-Resolution Image Synthesis with Latent
    Diffusion Models", section 3.1, arXiv 2112.10752)."""
    model = AutoencoderKL(
        block_out_channels=tuple(channels),
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        latent_channels=latent_channels,
        layers_per_block=layers,
        norm_num_groups=norm_groups,
        sample_size=size,
        mid_block_add_attention=False,
    )
    preserve_signal(model)
    return quicken(model)


def trained_autoencoder(folder: str | Path, standardise_on: Dataset | None = None) -> AutoencoderKL:
    """A saved autoencoder, to train on; its latents are standardised first if pictures are given."""
    model = quicken(load_autoencoder(folder))
    if standardise_on is not None:
        standardise(model, to_signed(pictures([standardise_on[i] for i in range(len(standardise_on))])))
    return model


@torch.no_grad()
def standardise(model: AutoencoderKL, images: Tensor) -> None:
    """Gives the latents of `images` `(b c h w)` zero mean, unit variance and no correlation between channels. The two 1 x 1 convolutions around
    the latents take up the change, so decoded pictures stay the same."""
    samples = torch.cat([rearrange(model.encode(x).latent_dist.mode(), "b c h w -> (b h w) c") for x in images.split(32)]).double()
    mean = samples.mean(0)
    variances, axes = torch.linalg.eigh(torch.cov(samples.T))
    whiten, colour = axes.T / variances.sqrt().unsqueeze(1), axes * variances.sqrt()
    c = model.config.latent_channels
    weight, bias = model.quant_conv.weight[:c, :, 0, 0].double(), model.quant_conv.bias[:c].double()
    model.quant_conv.weight[:c, :, 0, 0] = (whiten @ weight).float()
    model.quant_conv.bias[:c] = (whiten @ (bias - mean)).float()
    weight, bias = model.post_quant_conv.weight[:, :, 0, 0].double(), model.post_quant_conv.bias.double()
    model.post_quant_conv.weight[:, :, 0, 0] = (weight @ colour).float()
    model.post_quant_conv.bias.copy_((weight @ mean + bias).float())


@torch.no_grad()
def preserve_signal(model: AutoencoderKL) -> None:
    """Starts as a chain of kernels that keep the signal's variance: residual branches at zero ("Fixup Initialization", section 3,
    arXiv 1901.09321), nearly no noise on the latents. Learns about five times faster than the library's start, which loses colour."""
    for name, layer in model.named_modules():
        if isinstance(layer, ResnetBlock2D):
            layer.conv2.weight.zero_()
        elif isinstance(layer, nn.Conv2d) and not name.endswith("conv2"):
            layer.weight.mul_(3**0.5)
    model.decoder.conv_out.weight.mul_(0.3)
    deviation = slice(model.config.latent_channels, None)
    model.quant_conv.weight[deviation].mul_(0.1)
    model.quant_conv.bias[deviation] = -6.0


def busiest_crops(images: Tensor, size: int, generator: torch.Generator, tries: int = 2) -> Tensor:
    """One crop `(b c size size)` a picture: of `tries` random places the one with the strongest edges."""
    b, _, h, w = images.shape
    crops = torch.stack([_random_crops(images, size, generator) for _ in range(tries)])
    detail = reduce(edges(crops.flatten(0, 1))[0].abs(), "(t b) c h w -> t b", "mean", b=b)
    return crops[detail.argmax(0), torch.arange(b, device=images.device)]


def _random_crops(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    b, _, h, w = images.shape
    device = images.device
    top = torch.randint(h - size + 1, (b, 1, 1), generator=generator, device=device) + torch.arange(size, device=device).view(1, -1, 1)
    left = torch.randint(w - size + 1, (b, 1, 1), generator=generator, device=device) + torch.arange(size, device=device).view(1, 1, -1)
    rows = torch.arange(b, device=device).view(-1, 1, 1)
    return rearrange(images.permute(0, 2, 3, 1)[rows, top, left], "b h w c -> b c h w")


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return images[..., 1:, :] - images[..., :-1, :], images[..., :, 1:] - images[..., :, :-1]


def edge_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the edges."""
    return sum((a - b).abs().mean() for a, b in zip(edges(output), edges(target), strict=True)) / 2


class AutoencoderObjective(nn.Module):
    """Absolute error of pixels and edges at three scales, plus the posterior's divergence from a unit Gaussian.

    Latents of half the size must decode to pictures of half the size, which leaves less fine structure in them for a prior to learn ("Improving
    the Diffusability of Autoencoders", section 4, arXiv 2502.14831).
    """

    def __init__(
        self,
        autoencoder: AutoencoderKL,
        *,
        validation: Dataset,
        crop: int,
        edge_weight: float,
        kl_weight: float,
        half_weight: float = 0.0,
        decoder_only: bool = False,
        sheet: int = 32,
    ) -> None:
        """`decoder_only` keeps the encoder and the scaling factor, so that latents and a prior made for them stay valid."""
        super().__init__()
        self.autoencoder, self.decoder_only = autoencoder, decoder_only
        if decoder_only:
            autoencoder.encoder.requires_grad_(False)
            autoencoder.quant_conv.requires_grad_(False)
        self.validation, self.crop, self.sheet = validation, crop, sheet
        self.edge_weight, self.kl_weight, self.half_weight = edge_weight, kl_weight, half_weight

    def collate(self, examples: Sequence[Captioned]) -> Pictures:
        return Pictures(pictures(examples))

    def forward(self, batch: Pictures, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        images = busiest_crops(to_signed(batch.images), self.crop, generator).contiguous(memory_format=torch.channels_last)
        posterior = self.autoencoder.encode(images).latent_dist
        latents = posterior.sample(generator)
        output = self.autoencoder.decode(latents).sample.float()
        parts = {"pixels": (output - images).abs().mean(), "edges": edge_error(output, images), "coarse": coarse_error(output, images)}
        parts["kl"] = posterior.kl().mean() / posterior.mean[0].numel()
        loss = parts["pixels"] + self.edge_weight * parts["edges"] + parts["coarse"] + self.kl_weight * parts["kl"]
        if self.half_weight:
            half = self.autoencoder.decode(F.avg_pool2d(latents, 2)).sample.float()
            parts["half"] = (half - F.avg_pool2d(images, 2)).abs().mean()
            loss = loss + self.half_weight * parts["half"]
        return loss, parts

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """Error and peak signal-to-noise ratio (dB) on held-out pictures; writes a sheet, originals above reconstructions."""
        images = to_signed(pictures([self.validation[i] for i in range(len(self.validation))]))
        images = images.to(self.autoencoder.device)
        output = torch.cat(
            [self.autoencoder.decode(self.autoencoder.encode(x).latent_dist.mode()).sample.float() for x in images.split(32)]
        )
        shown = torch.stack([to_unsigned(images), to_unsigned(output)], dim=1)[: self.sheet]
        save_sheet(out / "sheets" / f"{step:08d}.png", rearrange(shown, "(r s) p c h w -> (r p s) c h w", s=8), 8)
        squared = (to_unsigned(output) - to_unsigned(images)).square().mean((1, 2, 3))
        return {"pixels": float((output - images).abs().mean()), "psnr": float(-10 * squared.log10().mean())}

    def export(self, folder: Path) -> None:
        """Saves the model with the scaling factor that gives held-out latents unit variance."""
        if not self.decoder_only:
            self.autoencoder.register_to_config(scaling_factor=self.scaling_factor())
        self.autoencoder.save_pretrained(folder)

    def scaling_factor(self) -> float:
        """One over the standard deviation of held-out latents."""
        images = to_signed(pictures([self.validation[i] for i in range(len(self.validation))])).to(self.autoencoder.device)
        latents = torch.cat([self.autoencoder.encode(x).latent_dist.mode() for x in images.split(32)])
        return float(1 / latents.float().std())


def coarse_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error after averaging 2 x 2 and 4 x 4 pixels."""
    errors = [(F.avg_pool2d(output, k) - F.avg_pool2d(target, k)).abs().mean() for k in (2, 4)]
    return sum(errors) / len(errors)
