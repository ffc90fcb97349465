"""MoAPipeline: stock text-to-image pipelines that take subjects. What is said here once holds for every family."""

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import torch

from moa.pipelines.checks import check_call, check_keep
from moa.pipelines.inversion import MoAInversionMixin
from moa.pipelines.keeping import kept
from moa.pipelines.loader import MoALoaderMixin
from moa.pipelines.offload import MoAOffloadMixin
from moa.pipelines.output import MoAOutput
from moa.pipelines.plan import Plan, Region, SubjectInput, choose_adapter, embed, is_saved, make_plan, per_prompt
from moa.prior.load import explained, family_of, find_model
from moa.prompt.encoder import SubjectEncoder
from moa.prompt.subject import SubjectEmbedding
from moa.where.presence import complaints, subject_maps
from moa.where.recorder import Recorder
from moa.where.router import ROUTERS
from moa.where.subjects import Subjects

ADAPTERS = "moa"


class MoAPipeline(MoALoaderMixin, MoAOffloadMixin, MoAInversionMixin):
    """Text-to-image with subjects; mixed in before diffusers' own pipeline of a family, whose every argument still holds.

    `MoAPipeline.from_pretrained` opens any diffusers folder or hub id of a supported family and gives that family's class.
    Without subjects a call is the stock pipeline's, bit for bit.
    """

    @classmethod
    def from_pretrained(cls, path: str | Path, **stock):
        """As diffusers' from_pretrained; adapters that `save_pretrained` wrote beside the model are loaded too.

        Errors: ValueError for a folder or id that is no model, or of a family that is not supported.
        """
        place = find_model(path)
        family = cls if cls is not MoAPipeline else pipeline_class(family_of(place))
        stock.setdefault("use_safetensors", True)
        if "torch_dtype" not in stock:  # said aloud, or a text encoder of half precision stays so beside a UNet that does not
            stock.setdefault("dtype", torch.float32)
        with explained(path):
            pipe = super(MoAPipeline, family).from_pretrained(place, **stock)
        for folder in sorted(Path(place).glob(f"{ADAPTERS}/*/")):
            pipe.load_moa(folder, adapter_name=folder.name)
        return pipe

    def save_pretrained(self, folder: str | Path, **stock) -> None:
        """A stock folder, which stock diffusers opens, and every adapter under `moa/<name>/`.

        Errors: ValueError, before anything is written, where the folder holds an adapter that is not loaded: it would be loaded with the rest.
        """
        for old in sorted(Path(folder).glob(f"{ADAPTERS}/*/")):
            if old.name not in self.moa_adapters:
                raise ValueError(
                    f"{str(folder)!r} already holds the adapter {old.name!r}, which this pipeline has not loaded; remove {str(old)!r}, or save into another folder."
                )
        super().save_pretrained(folder, **stock)
        index = Path(folder) / "model_index.json"
        values = json.loads(index.read_text())
        index.write_text(json.dumps(values | {"_class_name": type(self).STOCK}, indent=2) + "\n")
        for name, adapter in self.moa_adapters.items():
            adapter.save_pretrained(Path(folder) / ADAPTERS / name)

    def __call__(
        self,
        prompt: str | list[str] | None = None,
        *args,
        subjects: Mapping[str, SubjectInput] | Sequence[Mapping[str, SubjectInput]] | None = None,
        routing: Mapping[str, Region] | None = None,
        output_routing: bool | str = False,
        keep_context: bool = False,
        **stock,
    ):
        """As the stock call, with `subjects` for the `<name>`s of the prompt (a dict, or one per prompt): pictures, or what `encode_subject` made.

        `routing` gives subjects a region (mask of the picture's size, or box in pixels) in place of the learned map.
        `output_routing` adds maps to the answer (`MoAOutput`): True for means, "full" for every layer and step; None without subjects.
        `keep_context` leaves everything but the subjects as the prior draws it without them, at the cost of that drawing.
        Errors: ValueError, before any work starts, for whatever of this does not fit together.
        """
        call = inspect.signature(super().__call__).bind_partial(prompt, *args, **stock).arguments
        plan = self._plan(call, subjects, routing, output_routing)
        blind = [name for name, adapter in self.moa_adapters.items() if ROUTERS[adapter.config.router].blind]
        check_keep(keep_context, [name for name in blind if plan is not None and name in plan.adapters])
        if plan is None:
            answer = super().__call__(prompt, *args, **stock)
            return MoAOutput(answer.images, getattr(answer, "nsfw_content_detected", None)) if output_routing else answer
        texts = [p.text for p in plan.prompts]
        copies = call.get("num_images_per_prompt") or 1
        acting, recorder = replace(self._subjects(plan, copies), counted=True), self._recorder(plan, copies, output_routing)
        given = {**call, **call.get("kwargs", {}), "prompt": texts if isinstance(prompt, list) else texts[0]}
        given.pop("kwargs", None)
        if keep_context:
            given |= kept(self, given, recorder, acting)
        with self.moa.subjects(acting, recorder):
            answer = super().__call__(**given)
        maps = subject_maps(recorder, acting, {name: adapter.config.tokens for name, adapter in self.moa_adapters.items()})
        for problem in complaints(maps, acting, blind):
            warnings.warn(problem, stacklevel=2)
        if not call.get("return_dict", True):
            return answer
        shown = recorder.full if output_routing == "full" else recorder.routing() if output_routing else None
        return MoAOutput(
            answer.images, getattr(answer, "nsfw_content_detected", None), shown, recorder.experts, maps if output_routing else None
        )

    @contextmanager
    def subjects(
        self,
        prompt: str | list[str],
        subjects,
        *,
        routing=None,
        scheduler=None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
    ) -> Iterator[str | list[str]]:
        """The subjects for any stock pipeline built on this one's components (ControlNet, img2img, inpaint); gives the plain prompt.

        `scheduler` is that pipeline's, if it is another. Errors: ValueError as a call; a warning where nothing was drawn inside.
        """
        call = {"prompt": prompt, "height": height, "width": width}
        plan = self._plan(call, subjects, routing, False)
        if plan is None:
            yield prompt
            return
        acting, texts = self._subjects(plan, num_images_per_prompt, scheduler), [p.text for p in plan.prompts]
        with self.moa.subjects(acting):
            yield texts if isinstance(prompt, list) else texts[0]
        if acting.adapters and not acting.met:
            warnings.warn(
                "Nothing was drawn with the subjects of pipe.subjects(...): no pipeline was called there that shares this one's UNet. Build it from this "
                "one's parts, such as StableDiffusionImg2ImgPipeline(**pipe.components).", stacklevel=3,
            )  # fmt: skip

    def _plan(self, call: Mapping, subjects, routing, output_routing) -> Plan | None:
        """What to draw, checked; None where the stock pipeline draws alone."""
        prompt, known = call.get("prompt"), frozenset(self.tokenizer.get_added_vocab())
        prompts = prompt if isinstance(prompt, list) else [prompt] if isinstance(prompt, str) else []
        check_call(call, prompts, subjects, known, output_routing)
        if not subjects:
            if routing:
                raise ValueError(f"routing names {', '.join(map(repr, routing))}, but no subjects are given; pass subjects= too.")
            return None
        if self.moa is None:
            raise ValueError("Subjects are given, but no adapter is loaded; call load_moa first (pipe.load_moa('models/tiny-people')).")
        given = per_prompt(subjects, prompts, known)
        configs = {name: adapter.config for name, adapter in self.moa_adapters.items()}
        here = configs.keys() | {name for row in given for name in row}
        for name in self._scale.by_name.keys() - here:  # of another call's subject, most likely: only a slip of the pen is worth a word
            if near := get_close_matches(name, here, n=1, cutoff=0.75):
                warnings.warn(
                    f"set_moa_scale was given a strength for {name!r}, which is no subject of this call and no adapter; did you mean {near[0]!r}?",
                    stacklevel=3,
                )
        embedded: dict[int, SubjectEmbedding] = {}
        for row in given:
            for name, value in row.items():
                if id(value) not in embedded:
                    subject = SubjectEmbedding.load(value) if is_saved(value) else value
                    embedded[id(value)] = embed(subject, name, self._encoder_for(name, subject, configs))
        side = self.unet.config.sample_size * self.vae_scale_factor
        size = (call.get("height") or side, call.get("width") or side)
        return make_plan(
            prompts, [{name: embedded[id(value)] for name, value in row.items()} for row in given], routing or {},
            configs=configs, tokenizer=self.tokenizer, expand=lambda text: self.maybe_convert_prompt(text, self.tokenizer), known=known, scale=self._scale, size=size,
        )  # fmt: skip

    def _encoder_for(self, name: str, value: SubjectInput, configs) -> SubjectEncoder:
        if isinstance(value, SubjectEmbedding):
            return self._encoders[choose_adapter(name, value, configs)]
        if len({id(encoder.model) for encoder in self._encoders.values()}) > 1:
            raise ValueError(
                f"The loaded adapters have different subject encoders; say which one draws {name!r} with encode_subject(image, adapter=...)."
            )
        return next(iter(self._encoders.values()))

    def _subjects(self, plan: Plan, copies: int, scheduler=None) -> Subjects:
        scheduler = scheduler or self.scheduler
        strengths = {name: self._scale.overall * self._scale.of(name) for name in self.moa_adapters}
        return Subjects(
            plan.placed, copies, timesteps=lambda: scheduler.timesteps, scale=strengths, window=self._scale.window,
            train_timesteps=scheduler.config.num_train_timesteps, cache={},
        )  # fmt: skip

    def _recorder(self, plan: Plan, copies: int, output_routing: bool | str) -> Recorder:
        sites = frozenset().union(*(adapter.config.map_sites for adapter in self.moa_adapters.values()))
        experts = tuple(name for name in self.moa_adapters)
        own = {name: {site.name for site in adapter.config.sites} for name, adapter in self.moa_adapters.items()}
        return Recorder(experts, len(plan.prompts) * copies, attention_sites=sites, sites=own, full=output_routing == "full")


def pipeline_class(family) -> type:
    """The pipeline of a family."""
    from moa.pipelines.sd import MoAStableDiffusionPipeline
    from moa.pipelines.sdxl import MoAStableDiffusionXLPipeline

    return {c.STOCK: c for c in (MoAStableDiffusionPipeline, MoAStableDiffusionXLPipeline)}[family.STOCK.__name__]
