"""DDIM inversion: the noise from which a given picture is drawn, so that it can be drawn again with somebody else in it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from os import PathLike

import torch
from diffusers import DDIMScheduler
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from moa.data.images import load_image
from moa.pipelines.plan import Picture, Region, SubjectInput
from moa.prior.prior import encode_images
from moa.values import kind, whole

SMALLEST = 1e-3  # share of a step's own sample in its answer, below which no inverse is looked for


class InverseDDIM(DDIMScheduler):
    """DDIM from the picture to its noise: every step of `DDIMScheduler` is solved for the sample it started from.

    A step is x' = a x + c f(x), with f the network, so x is a fixed point of (x' - c f(x)) / a (fixed-point inversion as in
    Pan et al., 2309.04907). It is looked for in `rounds` evaluations, starting from x'; that one evaluation alone is DDIM
    inversion as Song et al. have it (2010.02502, section 5.3), but with the v of zero-terminal-SNR models taken at the noise
    level it was predicted for (our choice), where diffusers' `DDIMInverseScheduler` takes it at the level before. Zero terminal SNR
    is no obstacle: the first step from there keeps the noise and adds what the network sees in it, which is little, so it is solved
    like the others. Only a run of that one step keeps nothing.
    """

    def begin(self, rounds: int) -> "InverseDDIM":
        """Ready for one run of so many evaluations a step."""
        self.rounds, self.calls = rounds, 0
        return self

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """The forward run's times from the last to the first, each `rounds` times.

        Errors: ValueError where a step cannot be solved for its sample.
        """
        super().set_timesteps(num_inference_steps, device)
        for t in self.timesteps.tolist():
            if not SMALLEST < abs(self.factors(t)[0]) < 1 / SMALLEST:
                raise ValueError(
                    f"A run of {num_inference_steps} steps with prediction_type={self.config.prediction_type!r} cannot be inverted: its step at time {t} "
                    "forgets the noise it starts from. Take 2 steps or more, and a model that predicts epsilon or, at zero terminal SNR, v."
                )
        self.timesteps, self.calls = self.timesteps.flip(0).repeat_interleave(self.rounds), 0

    def step(self, model_output: Tensor, timestep: int, sample: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """The next guess at the noisier sample; the first call for a time is given the cleaner one."""
        if self.calls % self.rounds == 0:
            self.cleaner = sample
        self.calls += 1
        own, predicted = self.factors(int(timestep))
        return ((self.cleaner - predicted * model_output) / own,)

    def factors(self, timestep: int) -> tuple[float, float]:
        """What the forward step multiplies sample and prediction by, asked of diffusers' own."""
        one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        parts = ((zero, one), (one, zero))
        return tuple(float(super(InverseDDIM, self).step(out, timestep, sample, return_dict=False)[0]) for out, sample in parts)


class MoAInversionMixin:
    """What a pipeline needs to find the noise of a given picture."""

    @torch.no_grad()
    def invert(
        self,
        image: Picture,
        prompt: str,
        *,
        subjects: Mapping[str, SubjectInput] | None = None,
        routing: Mapping[str, Region] | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 1.0,
        rounds: int = 3,
        height: int | None = None,
        width: int | None = None,
        ip_adapter_image=None,
        ip_adapter_image_embeds=None,
    ) -> Float[Tensor, "1 c h w"]:
        """The `latents` from which a call with the same prompt, steps, guidance 1 and size draws the picture again.

        `prompt` says what is in the picture, in words or with `<name>`s and their `subjects`. `rounds` evaluations a step: more are
        closer. A `guidance_scale` above 1 converges for few pictures: leave it at 1 here, and raise it where somebody else is drawn.
        Errors: ValueError, before any work starts, for more than one picture or prompt, an empty prompt, a picture of another size than
        is drawn, and a scheduler other than an unclipped DDIM; and as a call.
        """
        picture = self._to_invert(image, prompt, rounds, height, width)
        seen = {"ip_adapter_image": ip_adapter_image, "ip_adapter_image_embeds": ip_adapter_image_embeds}
        if getattr(self.unet, "encoder_hid_proj", None) is not None and not any(value is not None for value in seen.values()):
            raise ValueError(
                "An IP-Adapter is loaded, and invert was given nothing for it to see; give ip_adapter_image=, or unload_ip_adapter()."
            )
        forward, inverse = self.scheduler, InverseDDIM.from_config(self.scheduler.config).begin(rounds)
        for scheduler in (inverse, forward):
            scheduler.set_timesteps(num_inference_steps, self._execution_device)
        size = {"height": picture.height, "width": picture.width}
        alone = nullcontext() if self.moa is None else self.moa.subjects(None)  # whatever block of subjects this is called in
        with alone, self.subjects(prompt, subjects, routing=routing, scheduler=forward, **size) as text, self._scheduled(inverse):
            if self.moa is not None and self.moa.active is not None:
                self.moa.active.begun, self.moa.active.counted = 0, True  # this goes through the run from its end
            pixels = self.image_processor.preprocess(picture).to(self._execution_device)
            latents = encode_images(self.vae, pixels).to(self.unet.dtype)
            return self(
                text,
                latents=latents,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                output_type="latent",
                **size,
                **seen,
            ).images

    def _to_invert(self, image: Picture, prompt: str, rounds: int, height: int | None, width: int | None):
        """The picture, read and checked with what else needs no network."""
        if not isinstance(image, (str, PathLike, Image)) or not isinstance(prompt, str):
            raise ValueError(
                f"invert got a {kind(image)} for its picture and a {kind(prompt)} for its prompt; give one picture (or its path) and one text."
            )
        if not prompt.strip():
            raise ValueError("The prompt is empty; say what is in the picture, such as 'a person in the snow'.")
        whole("rounds", rounds, 1, 100)
        config = self.scheduler.config
        if not isinstance(self.scheduler, DDIMScheduler) or config.clip_sample or config.thresholding:
            clipped = " that clips" if isinstance(self.scheduler, DDIMScheduler) else ""
            raise ValueError(
                f"The scheduler is a {type(self.scheduler).__name__}{clipped}, which cannot be inverted; DDIM without clipping can. Set "
                "pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, thresholding=False)."
            )
        picture, side = load_image(image), self.unet.config.sample_size * self.vae_scale_factor
        wanted = (width or side, height or side)
        if picture.size != wanted:
            raise ValueError(
                f"The picture has {picture.width} x {picture.height} pixels, {wanted[0]} x {wanted[1]} are drawn; resize it, or give "
                "height and width in multiples of 8, here and where it is drawn again."
            )
        return picture

    @contextmanager
    def _scheduled(self, scheduler: DDIMScheduler) -> Iterator[None]:
        """Inside, the pipeline runs on another scheduler."""
        before, self.scheduler = self.scheduler, scheduler
        try:
            yield
        finally:
            self.scheduler = before
