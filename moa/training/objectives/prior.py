"""The tiny prior: a text-to-image latent diffusion model of the stock kind, learned from a bank's latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from moa.diffusion import add_noise, target
from moa.pipelines.grid import grid
from moa.places import find_model
from moa.prior.load import explained
from moa.training.cpu import quicken
from moa.training.latents import Latents, LatentText, load_autoencoder
from moa.training.objectives.clip import ATTENTION
from moa.training.objectives.tiny_folder import save_folder


class LatentTexts(NamedTuple):
    """Latents `(b c h w)` of unit variance and token numbers `(b l)`."""

    latents: Tensor
    tokens: Tensor


def new_unet(
    *,
    channels: Sequence[int],
    head_width: int,
    norm_groups: int,
    latent_channels: int,
    size: int,
    text_width: int,
    start: str | None = None,
) -> UNet2DConditionModel:
    """A UNet of SD 1.5's block types (section 3.3, arXiv 2112.10752), with cross-attention at all but the coarsest level.

    `start` is the folder of a model whose UNet it goes on from. Errors: ValueError for one of other sizes.
    """
    down = (*("CrossAttnDownBlock2D",) * (len(channels) - 1), "DownBlock2D")
    unet = UNet2DConditionModel(
        sample_size=size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        down_block_types=down,
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(down)),
        cross_attention_dim=text_width,
        attention_head_dim=tuple(c // head_width for c in channels),
        norm_num_groups=norm_groups,
    )
    if start is not None:
        with explained(start):
            learned = UNet2DConditionModel.from_pretrained(find_model(start), subfolder="unet", dtype=torch.float32, use_safetensors=True)
        sizes, wanted = ({name: tuple(tensor.shape) for name, tensor in one.state_dict().items()} for one in (learned, unet))
        if sizes != wanted:
            raise ValueError(
                f"objective.unet.start={start!r} has another UNet (channels {list(learned.config.block_out_channels)}, here {list(channels)}); give a model trained with these settings."
            )
        unet.load_state_dict(learned.state_dict())
    return unet


def new_scheduler() -> DDPMScheduler:
    """SD's noise levels, rescaled to end in pure noise ("Common Diffusion Noise Schedules and Sample Steps are Flawed", sections 3.1 to 3.3,
    arXiv 2305.08891), drawn with fresh noise in every step ("Denoising Diffusion Probabilistic Models", algorithm 2, arXiv 2006.11239).

    A model this small errs in every step, and the noise covers what the last steps got wrong: at 20 steps its forms are cleaner than
    DDIM's. Our choice.
    """
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def spread_timesteps(b: int, steps: int, generator: torch.Generator) -> Tensor:
    """One timestep a sample, uniform, one in each `b`-th of the range ("Variational Diffusion Models", appendix I.1, arXiv 2107.00630)."""
    device = generator.device
    places = torch.randperm(b, generator=generator, device=device)
    return ((places + torch.rand(b, generator=generator, device=device)) / b * steps).long().clamp(max=steps - 1)


class PriorObjective(nn.Module):
    """Mean squared error of v ("Progressive Distillation", appendix D, arXiv 2202.00512); the text encoder learns along."""

    def __init__(
        self, unet: UNet2DConditionModel, *, clip: str | Path, autoencoder: str | Path, validation: Latents, empty_share: float, guidance: float,
        sheet: int = 16,
    ) -> None:  # fmt: skip
        super().__init__()
        self.unet, self.scheduler = unet, new_scheduler()
        self.tokenizer = CLIPTokenizer.from_pretrained(Path(clip) / "tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(Path(clip) / "text_encoder", use_safetensors=True, attn_implementation=ATTENTION)
        self.image_encoder = CLIPVisionModelWithProjection.from_pretrained(Path(clip) / "image_encoder", use_safetensors=True)
        self.autoencoder = load_autoencoder(autoencoder)
        self.image_encoder.requires_grad_(False)
        self.autoencoder.requires_grad_(False)
        self.validation, self.empty_share, self.guidance, self.sheet = validation, empty_share, guidance, sheet
        quicken(unet)
        if not torch.cuda.is_available():
            unet.set_attn_processor(AttnProcessor())  # SDPA's backward in bfloat16 is several times slower on a CPU

    def collate(self, examples: Sequence[LatentText]) -> LatentTexts:
        return LatentTexts(torch.stack([e.latent.float() for e in examples]), self.tokens([e.caption for e in examples]))

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Token numbers `(b l)`, padded to the tokenizer's length as the stock pipeline does."""
        return self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids

    def forward(self, batch: LatentTexts, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        b, device = len(batch.latents), batch.latents.device
        dropped = torch.rand(b, generator=generator, device=device) < self.empty_share
        tokens = torch.where(dropped.unsqueeze(1), self.tokens([""]).to(device), batch.tokens)
        timesteps = spread_timesteps(b, self.scheduler.config.num_train_timesteps, generator)
        errors = self.errors(batch.latents.float(), tokens, timesteps, generator)
        early = timesteps >= self.scheduler.config.num_train_timesteps // 2
        return errors.mean(), {"noisy": errors[early].mean(), "clean": errors[~early].mean()}

    def errors(self, latents: Tensor, tokens: Tensor, timesteps: Tensor, generator: torch.Generator) -> Tensor:
        """Each sample's mean squared error `(b)`."""
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        alpha_bar = self.scheduler.alphas_cumprod.to(latents.device)[timesteps]
        noisy = add_noise(latents, noise, alpha_bar).contiguous(memory_format=torch.channels_last)
        states = self.text_encoder(input_ids=tokens).last_hidden_state
        answer = self.unet(noisy, timesteps, states).sample.float()
        return F.mse_loss(answer, target("v_prediction", latents, noise, alpha_bar), reduction="none").mean((1, 2, 3))

    def pipeline(self) -> StableDiffusionPipeline:
        """The stock pipeline over the live modules."""
        pipe = StableDiffusionPipeline(
            vae=self.autoencoder,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """The error on held-out latents; writes a sheet drawn from held-out captions."""
        batch = self.collate([self.validation[i] for i in range(len(self.validation))])
        device = self.unet.device
        timesteps = torch.arange(len(batch.latents), device=device) * self.scheduler.config.num_train_timesteps // len(batch.latents)
        fixed = torch.Generator(device).manual_seed(0)
        errors = self.errors(batch.latents.float().to(device), batch.tokens.to(device), timesteps, fixed)
        self.draw(out / "sheets" / f"{step:08d}.png", self.sheet)
        return {"error": float(errors.mean())}

    def draw(self, path: Path, count: int) -> None:
        """A sheet of pictures for the first held-out captions, which stand below them, in float32, 20 steps."""
        captions = [self.validation[i].caption for i in range(count)]
        seeds = [torch.Generator().manual_seed(i) for i in range(count)]
        with torch.autocast(self.unet.device.type, enabled=False):
            drawn = self.pipeline()(captions, num_inference_steps=20, guidance_scale=self.guidance, generator=seeds).images
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [slice(start, start + 8) for start in range(0, count, 8)]
        grid([drawn[row] for row in rows], tile=192, captions=[captions[row] for row in rows]).save(path)

    def export(self, folder: Path) -> None:
        """Writes the stock folder with the averages."""
        save_folder(folder, self.pipeline(), self.image_encoder)
        self.draw(folder / "sheet.png", 2 * self.sheet)
