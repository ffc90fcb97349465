"""The objective of a Mixture-of-Attention adapter: denoising, router and object losses (2404.11565, section 3)."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from moa.data.examples import SubjectExample, SubjectSet
from moa.diffusion import add_noise
from moa.losses import balanced_localization, masked_mse, object_loss, router_loss
from moa.prior import Prior
from moa.prompt.encoder import OWN_ENCODER, SubjectEncoder
from moa.prompt.placeholders import fill, locate
from moa.where import MoAAdapter, Trace, mount
from moa.where.context import grid_of
from moa.where.recorder import to_map
from moa.where.sites import inner_sites
from moa.where.subjects import Placed, Subjects

LOCALIZATION = {"squared": object_loss, "balanced": balanced_localization}


class SubjectBatch(NamedTuple):
    """`images` (b 3 h w) in -1..1; `pictures` (p 3 h w) as the encoder reads them, of all subjects of all samples in turn.

    `prompts` are plain; `owners[b]` are (name, token position, number of pictures) and `masks` (c h w) in the same order.
    """

    images: Tensor
    pictures: Tensor
    masks: Tensor
    prompts: list[str]
    owners: list[list[tuple[str, int, int]]]


class MoAObjective(nn.Module):
    """Trains the adapter alone: the prior and the encoder are frozen, and the adapter's tensors are the only ones that learn.

    Weights of the losses, the sites of the object loss and the share of the background in the denoising loss are our
    choice (the paper gives none); the router loss leaves out the layers named in `router_loss_without`.
    Errors: ValueError for an unknown form of localisation.
    """

    def __init__(
        self,
        prior: Prior,
        encoder: SubjectEncoder,
        adapter: MoAAdapter,
        *,
        router_weight: float = 0.1,
        localization_weight: float = 0.01,
        localization: str = "squared",
        background: float = 0.2,
        gradient_checkpointing: bool = False,
        validation: SubjectSet | None = None,
        previews: int = 6,
    ):
        super().__init__()
        self.validation, self.previews = validation, previews
        if localization not in LOCALIZATION:
            raise ValueError(f"localization={localization!r} is unknown; choose one of {', '.join(LOCALIZATION)}.")
        self.prior, self.vision, self.adapter, self.encoder = prior, encoder.model.requires_grad_(False), adapter, encoder
        for parameter in adapter.parameters():
            parameter.requires_grad_(True)
        self.mounted = [mount(prior.unet, adapter, "learned")]
        self.router_weight, self.localization_weight, self.background = router_weight, localization_weight, background
        self.localization = LOCALIZATION[localization]
        self.routed = inner_sites(adapter.config.sites)
        self.attended = frozenset(site.name for site in self.routed if site.cross)
        if gradient_checkpointing:
            prior.unet.enable_gradient_checkpointing()

    @classmethod
    def build(
        cls,
        prior: Prior,
        where: Callable[..., MoAAdapter],
        *,
        noun: str,
        encoder: str | None = None,
        router_weight: float = 0.1,
        localization_weight: float = 0.01,
        localization: str = "squared",
        background: float = 0.2,
        gradient_checkpointing: bool = False,
        validation: SubjectSet | None = None,
        previews: int = 6,
    ) -> "MoAObjective":
        """A fresh adapter on a prior: `where` makes it from a UNet, `encoder` names the subject encoder (None: the prior's own)."""
        vision = own_encoder(prior) if encoder is None else SubjectEncoder.from_pretrained(encoder)
        adapter = where(prior.unet, encoder=vision.name, image_width=vision.width, prior=prior.name, noun=noun)
        return cls(
            prior, vision, adapter, router_weight=router_weight, localization_weight=localization_weight,
            localization=localization, background=background, gradient_checkpointing=gradient_checkpointing,
            validation=validation, previews=previews,
        )  # fmt: skip

    def collate(self, examples: list[SubjectExample]) -> SubjectBatch:
        """Examples to a batch: fills the placeholders, finds their tokens, prepares the pictures."""
        prompts, owners, pictures, masks = [], [], [], []
        for example in examples:
            plain = fill(example.prompt, {name: subject.noun for name, subject in example.subjects.items()})
            positions = locate(plain, self.prior.tokenizer)
            prompts.append(plain.text)
            owners.append([])
            for mention, position in zip(plain.mentions, positions, strict=True):
                subject = example.subjects[mention.name]
                owners[-1].append((mention.name, position, len(subject.pictures)))
                pictures += [Image.fromarray(picture) for picture in subject.pictures]
                masks.append(torch.from_numpy(subject.mask))
        images = torch.from_numpy(np.stack([example.image for example in examples]))
        images = rearrange(images, "b h w c -> b c h w").float() / 127.5 - 1
        return SubjectBatch(images, self.encoder.pixels(pictures), torch.stack(masks).float(), prompts, owners)

    def forward(self, batch: SubjectBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The total loss and its parts: denoising (also by quarter of time), router, object, router mass inside and outside."""
        latents = self.prior.encode_images(batch.images, generator)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        times = torch.randint(self.prior.train_timesteps, (len(latents),), generator=generator, device=latents.device)
        noisy = add_noise(latents, noise, self.prior.alpha_bar(times))
        text = self.prior.encode_text(batch.prompts, tuple(batch.images.shape[-2:]))
        masks = F.interpolate(batch.masks.unsqueeze(1), size=latents.shape[-2:], mode="area").squeeze(1)
        subjects, trace = self.subjects(batch, masks), Trace(self.attended)
        with self.mounted[0].subjects(subjects, trace):
            answer = self.prior.unet(noisy, times, text.states, added_cond_kwargs=text.added, return_dict=False)[0]
        foreground = self._foreground(batch, masks)
        error = masked_mse(answer, self.prior.target(latents, noise, times), self.background + (1 - self.background) * foreground)
        prior_weight = self._prior_weight(trace, latents.shape[-2:])
        route = router_loss(prior_weight, foreground).mean()
        located = self._located(trace, masks)
        parts = {"denoising": error.mean(), "router": route, "object": located}
        parts |= self._live(error, times, prior_weight, foreground)
        loss = parts["denoising"] + self.router_weight * route + self.localization_weight * located
        if not subjects.adapters:  # every process must touch every parameter
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.adapter.parameters())
        return loss, parts

    def subjects(self, batch: SubjectBatch, masks: Float[Tensor, "c h w"]) -> Subjects:
        """The batch's subjects as the mounted layers take them; masks go along only for a router that needs them drawn."""
        features = iter(self.encoder.features(batch.pictures).split([n for row in batch.owners for *_, n in row]))
        regions = iter(masks)
        drawn = next(iter(self.adapter.routers.values())).drawn
        rows = []
        for row in batch.owners:
            row = [Placed(name, "learned", position, next(features), region=next(regions) if drawn else None) for name, position, _ in row]
            rows.append(row)
        return Subjects(rows, train_timesteps=self.prior.train_timesteps)

    def export(self, folder: Path) -> None:
        """Write the adapter."""
        self.adapter.save_pretrained(folder)

    def _foreground(self, batch: SubjectBatch, masks: Float[Tensor, "c h w"]) -> Float[Tensor, "b h w"]:
        union = masks.new_zeros(len(batch.prompts), *masks.shape[-2:])
        owner = torch.tensor([b for b, row in enumerate(batch.owners) for _ in row], device=masks.device)
        return union.index_reduce(0, owner, masks, "amax")

    def _prior_weight(self, trace: Trace, size: tuple[int, int]) -> Float[Tensor, "b h w"]:
        """The prior's weight averaged over layers, at the latents' size."""
        maps = [to_map(trace.weights[site.name][..., :1], size)[:, 0] for site in self.routed if site.name in trace.weights]
        if not maps:
            return torch.ones(1, *size)
        return torch.stack(maps).mean(dim=0)

    def _located(self, trace: Trace, masks: Float[Tensor, "c h w"]) -> Tensor:
        """Object loss averaged over subjects and sites; each subject's attention is summed over its tokens."""
        losses = []
        for shown in trace.attention.values():
            grid = grid_of(shown.shape[-1], tuple(masks.shape[-2:]))
            maps = rearrange(shown, "r (s k) (h w) -> (r s) k h w", k=self.adapter.config.tokens, h=grid[0])
            maps = reduce(maps, "c k h w -> c h w", "sum")
            used = maps.flatten(1).sum(1) > 0
            at_grid = F.interpolate(masks.unsqueeze(1), size=grid, mode="area").squeeze(1)
            losses.append(self.localization(maps[used], at_grid).mean())
        return torch.stack(losses).mean() if losses else masks.new_zeros(())

    @torch.no_grad()
    def _live(self, error: Tensor, times: Tensor, prior_weight: Tensor, foreground: Tensor) -> dict[str, Tensor]:
        quarter = times * 4 // self.prior.train_timesteps
        live = {f"denoising_t{q}": error[quarter == q].mean() for q in range(4) if (quarter == q).any()}
        personal, background = 1 - prior_weight, 1 - foreground
        live["mass_inside"] = (personal * foreground).sum() / foreground.sum().clamp(min=1e-6)
        live["mass_outside"] = (personal * background).sum() / background.sum().clamp(min=1e-6)
        return live


def own_encoder(prior: Prior) -> SubjectEncoder:
    """The prior's own image encoder, or the one its family's papers use."""
    pipe = prior.pipe
    if pipe.image_encoder is None or pipe.feature_extractor is None:
        return SubjectEncoder.from_pretrained(prior.family.IMAGE_ENCODER)
    return SubjectEncoder(pipe.image_encoder.eval(), pipe.feature_extractor, name=OWN_ENCODER)
