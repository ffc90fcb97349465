"""The objective of a Mixture-of-Attention adapter: denoising, router and object losses (2404.11565, section 3)."""

import logging
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from moa.data.examples import SubjectExample, SubjectSet
from moa.diffusion import add_noise
from moa.losses import balanced_localization, exclusive_localization, masked_mse, object_loss, router_loss
from moa.pipelines.pipeline import MoAPipeline, pipeline_class
from moa.prior import Prior
from moa.prompt.encoder import SubjectEncoder
from moa.training.cpu import quicken
from moa.training.own_encoder import own_encoder
from moa.training.previews import save_previews
from moa.training.subject_batch import SubjectBatch, collate, shrink
from moa.where import MoAAdapter, Trace, mount
from moa.where.context import grid_of
from moa.where.layout import Placed
from moa.where.recorder import to_map
from moa.where.router import ROUTERS
from moa.where.sites import inner_sites
from moa.where.subjects import Subjects

log = logging.getLogger(__name__)

NAME = "learned"  # of the adapter while it is mounted for training
LOCALIZATION = {"squared": object_loss, "balanced": balanced_localization, "exclusive": exclusive_localization}
BACKGROUND = ("prior", "picture")
ROUTED = ("all", "inner")
LARGE = 256  # pixels: a prior of such pictures is drawn with more guidance than the embedded one


class MoAObjective(nn.Module):
    """Trains the adapter alone: the prior and the encoder are frozen, and the adapter's tensors are the only ones that learn.

    Weights of the losses and the sites of the object loss are our choice (the paper gives none). So is `background`: outside the
    subjects the target is the prior's own prediction ("prior"), which is what leaving it intact means, or the picture in training
    ("picture"), which also teaches what the prior has not learned. So is `late`: the noisier a time, the more often it is drawn,
    because there only the picture tells who the subject is. `inside` weighs the part of the router loss that sends the experts to
    the subjects (0: the paper's loss), and `routed` says which layers it is about: "all", so that no layer's expert is left to act
    where it likes (our choice), or "inner", without the outermost blocks, as the paper is recalled to do.
    Errors: ValueError for an unknown form of localisation, background or routed.
    """

    def __init__(
        self,
        prior: Prior,
        where: Callable[..., MoAAdapter],
        *,
        noun: str,
        encoder: str | None = None,
        router_weight: float = 1.0,
        inside: float = 1.0,
        routed: str = "all",
        localization_weight: float = 0.3,
        localization: str = "exclusive",
        background: str = "prior",
        background_weight: float = 2.0,
        late: bool = True,
        gradient_checkpointing: bool = False,
        validation: SubjectSet | None = None,
        previews: int = 6,
    ):
        """A fresh adapter on a prior: `where` makes it from a UNet, `encoder` names the subject encoder (None: the prior's own)."""
        super().__init__()
        for name, given, known in (
            ("localization", localization, LOCALIZATION),
            ("background", background, BACKGROUND),
            ("routed", routed, ROUTED),
        ):
            if given not in known:
                raise ValueError(f"{name}={given!r} is unknown; choose one of {', '.join(known)}.")
        self.prior = prior
        self.encoder = own_encoder(prior) if encoder is None else SubjectEncoder.from_pretrained(encoder)
        self.vision = self.encoder.model.requires_grad_(False)
        self.adapter = where(prior.unet, encoder=self.encoder.name, image_width=self.encoder.width, prior=prior.name, noun=noun)
        for parameter in self.adapter.parameters():
            parameter.requires_grad_(True)
        self.mounted = [mount(prior.unet, self.adapter, NAME)]
        self.mounted[0].encoders[NAME] = self.encoder
        self.router_weight, self.inside = router_weight, inside
        self.localization_weight = localization_weight
        self.background, self.background_weight = background, background_weight
        self.localization, self.late = LOCALIZATION[localization], late
        inner = inner_sites(self.adapter.config.sites)
        self.routed = inner if routed == "inner" else self.adapter.config.sites
        self.attended = frozenset(site.name for site in inner if site.cross)
        self.validation, self.previews = validation, previews
        if gradient_checkpointing:
            prior.unet.enable_gradient_checkpointing()
        quicken(prior)

    def train(self, mode: bool = True) -> "MoAObjective":
        """The adapter's mode; the encoder stays as it was trained, its dropout and batch statistics still."""
        super().train(mode)
        self.vision.eval()
        return self

    def collate(self, examples: list[SubjectExample]) -> SubjectBatch:
        """Examples to a batch, for the data loader."""
        return collate(examples, self.prior.tokenizer, self.encoder)

    def forward(self, batch: SubjectBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor | None]]:
        """The total loss and its parts: denoising (of the subjects, also by quarter of time), background, router, object, router mass inside and outside."""
        latents = self.prior.encode_images(batch.images.contiguous(memory_format=torch.channels_last))
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        times = self._times(len(latents), generator)
        noisy = add_noise(latents, noise, self.prior.alpha_bar(times)).contiguous(memory_format=torch.channels_last)
        text = self.prior.encode_text(batch.prompts, tuple(batch.images.shape[-2:]))
        masks = shrink(batch.masks, tuple(latents.shape[-2:]))
        subjects, trace = self.subjects(batch, masks), Trace(self.attended)
        ask = partial(self.prior.unet, noisy, times, text.states, added_cond_kwargs=text.added, return_dict=False)
        with self.mounted[0].subjects(subjects, trace):
            answer = ask()[0]
        target, foreground = self.prior.target(latents, noise, times), self._foreground(batch, masks)
        error = masked_mse(answer, target, foreground)
        background = masked_mse(answer, self._intact(ask) if self.background == "prior" else target, 1 - foreground)
        prior_weight = self._prior_weight(trace, len(latents), tuple(latents.shape[-2:]))
        route = router_loss(prior_weight, foreground, self.inside).mean()
        located = self._located(trace, batch, masks)
        parts = {"denoising": error.mean(), "background": background.mean(), "router": route, "object": located}
        parts |= self._live(error, times, prior_weight, foreground)
        loss = error.mean() + self.background_weight * background.mean() + self.router_weight * route + self.localization_weight * located
        if not subjects.adapters:  # every process must touch every parameter
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.adapter.parameters())
        return loss, parts

    def subjects(self, batch: SubjectBatch, masks: Float[Tensor, "c h w"]) -> Subjects:
        """The batch's subjects as the mounted layers take them; masks go along only for a router that needs them drawn."""
        counts = [n for row in batch.owners for *_, n in row]
        features = iter(self.encoder.features(batch.pictures).split(counts) if counts else ())
        regions = iter(masks)
        drawn = next(iter(self.adapter.routers.values())).drawn
        rows = []
        for row in batch.owners:
            row = [Placed(name, NAME, position, next(features), region=next(regions) if drawn else None) for name, position, _ in row]
            rows.append(row)
        return Subjects(rows, train_timesteps=self.prior.train_timesteps)

    def validate(self, out: Path, step: int, generator: torch.Generator) -> dict[str, float]:
        """The losses on held-out subjects, and a sheet of them: reference, the prior's picture, ours and its routing."""
        if self.validation is None:
            return {}
        examples = [self.validation[i] for i in range(max(self.previews, 8))]
        _, parts = self(self.collate(examples), generator)
        save_previews(out / "sheets" / f"{step:08d}.png", self.pipeline(), examples[: self.previews])
        return {name: float(value) for name, value in parts.items() if value is not None}

    def pipeline(self) -> MoAPipeline:
        """A pipeline on the networks in training."""
        kind, pipe = pipeline_class(self.prior.family), self.prior.pipe
        _, options = kind._get_signature_keys(kind)
        made = kind(**pipe.components, **{name: pipe.config[name] for name in options if name in pipe.config})
        made.set_progress_bar_config(disable=True)
        return made

    def export(self, folder: Path) -> None:
        """Write the adapter, and say how to use it."""
        self.adapter.save_pretrained(folder)
        log.info("the adapter is in %s; draw with it:\n  %s", folder, self.command(folder))

    def command(self, folder: Path) -> str:
        """What a user types to draw with the adapter in a folder, but for the picture."""
        words = [f"prior={self.prior.name}", f"adapters.people={folder}", "prompt=<a> in the snow", "subjects.a=picture.png"]
        side = self.prior.pixels
        if ROUTERS[self.adapter.config.router].drawn:
            words.append(f"routing.a=[{side // 4},0,{3 * side // 4},{side}]")
        if side >= LARGE:
            words.append("guidance=7")
        return shlex.join(["python", "infer.py", *words])

    def _times(self, count: int, generator: torch.Generator) -> Tensor:
        """Diffusion times (b), uniform, or in proportion to the time itself."""
        part = torch.rand(count, generator=generator, device=generator.device)
        return ((part.sqrt() if self.late else part) * self.prior.train_timesteps).long().clamp(max=self.prior.train_timesteps - 1)

    @torch.no_grad()
    def _intact(self, ask: Callable[[], tuple[Tensor]]) -> Tensor:
        """The frozen prior's answer to the same question."""
        with self.mounted[0].subjects(None):
            return ask()[0]

    def _foreground(self, batch: SubjectBatch, masks: Float[Tensor, "c h w"]) -> Float[Tensor, "b h w"]:
        """The union of each sample's subjects."""
        nothing = masks.new_zeros(1, *masks.shape[-2:])
        own = masks.split([len(row) for row in batch.owners])
        return torch.stack([torch.cat([nothing, of_row]).amax(dim=0) for of_row in own])

    def _prior_weight(self, trace: Trace, rows: int, size: tuple[int, int]) -> Float[Tensor, "b h w"]:
        """The prior's weight averaged over layers, at the latents' size."""
        maps = [to_map(trace.weights[site.name][..., :1], size)[:, 0] for site in self.routed if site.name in trace.weights]
        if not maps:
            return torch.ones(rows, *size)
        return torch.stack(maps).mean(dim=0)

    def _located(self, trace: Trace, batch: SubjectBatch, masks: Float[Tensor, "c h w"]) -> Tensor:
        """Object loss averaged over subjects and sites; a subject's attention is summed over its tokens, wherever the prompt names it."""
        names = [[name for name, *_ in row] for row in batch.owners if row]
        longest = max(map(len, names), default=0)
        first = torch.tensor([[*map(row.index, row), *range(len(row), longest)] for row in names], device=masks.device)
        used = torch.tensor([[i < len(row) and row.index(row[i]) == i for i in range(longest)] for row in names], device=masks.device)
        own = masks[[row.index(name) == i for row in names for i, name in enumerate(row)]]
        losses = []
        for shown in trace.attention.values():
            maps = reduce(shown, "r (s k) n -> r s n", "sum", k=self.adapter.config.tokens)
            maps = rearrange(maps, "r s (h w) -> r s h w", h=grid_of(shown.shape[-1], tuple(masks.shape[-2:]))[0])
            maps = torch.zeros_like(maps).scatter_add(1, rearrange(first, "r s -> r s 1 1").expand_as(maps), maps)
            laid = torch.zeros_like(maps)
            laid[used] = shrink(own, tuple(maps.shape[-2:]))
            losses.append(self.localization(maps, laid)[used].mean())
        return torch.stack(losses).mean() if losses else masks.new_zeros(())

    @torch.no_grad()
    def _live(self, error: Tensor, times: Tensor, prior_weight: Tensor, foreground: Tensor) -> dict[str, Tensor | None]:
        quarter = times * 4 // self.prior.train_timesteps
        live = {f"denoising_t{q}": error[quarter == q].mean() if (quarter == q).any() else None for q in range(4)}
        personal, background = 1 - prior_weight, 1 - foreground
        live["mass_inside"] = (personal * foreground).sum() / foreground.sum().clamp(min=1e-6)
        live["mass_outside"] = (personal * background).sum() / background.sum().clamp(min=1e-6)
        return live
