"""From a checked request to one call of the pipeline: opening it, embedding subjects, drawing some pictures together, saying what there is to note."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from moa.device import find_device
from moa.pipelines import MoAPipeline
from moa.pipelines.checks import check_fit
from moa.pipelines.output import MoAOutput
from moa.pipelines.plan import with_noun
from moa.places import find_model
from moa.prompt.subject import SubjectEmbedding
from moa.request import Request
from moa.where import MoAAdapter
from moa.where.presence import PresenceWarning

log = logging.getLogger("moa.infer")
Say = Callable[[str], None]


def on_stderr(note: str) -> None:
    """Says a note in the log."""
    log.warning("note: %s", note)


def open_pipeline(request: Request) -> MoAPipeline:
    """The pipeline with the adapters that the request needs, on its device; adapters are read first, as they are small.

    Errors: ValueError for a device that is not here, and as `MoAPipeline`.
    """
    device = find_device(request.device)
    wanted = {name: path for name, path in request.adapters.items() if path and (request.subjects or request.prompt is None)}
    adapters = {name: MoAAdapter.from_pretrained(find_model(Path(path).expanduser())) for name, path in wanted.items()}
    for name, adapter in adapters.items():
        check_fit(request.prior.path, adapter, f"adapters.{name}")
    pipe = MoAPipeline.from_pretrained(
        Path(request.prior.path).expanduser(), dtype=getattr(torch, request.prior.dtype), variant=request.prior.variant
    )
    pipe.to(device).set_progress_bar_config(disable=True)
    with notes():
        for name, adapter in adapters.items():
            pipe.load_moa(adapter, name)
    pipe.set_moa_scale(request.scale, window=tuple(request.window))
    if request.scales:
        pipe.set_moa_scale(request.scales, window=tuple(request.window))
    return pipe


def call(
    pipe: MoAPipeline, request: Request, prompt: str | list[str], subjects: Mapping | Sequence[Mapping], regions: Mapping, seeds: Sequence[int], names: Sequence[str],
    say: Say = on_stderr,
) -> tuple[MoAOutput, set[int]]:  # fmt: skip
    """One call of the pipeline: a picture a seed, all of one prompt or each of its own; and which of them have a subject that may be missing or there twice.

    `names` are the pictures' in what `say` is told. Errors: ValueError where the memory of the device is not enough.
    """
    many = isinstance(prompt, list)
    negative = [request.negative_prompt] * len(prompt) if many and request.negative_prompt is not None else request.negative_prompt
    with notes(names, say) as meant:
        try:
            answer = pipe(
                prompt, subjects=subjects or None, routing=regions or None, output_routing="full" if request.layers else bool(subjects), keep_context=request.keep_context, negative_prompt=negative,
                num_inference_steps=request.steps, guidance_scale=request.guidance, height=request.height, width=request.width,
                num_images_per_prompt=1 if many else len(seeds), generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            )  # fmt: skip
        except torch.OutOfMemoryError:
            remedy = "set batch_size=1" if len(seeds) > 1 else "give a smaller height and width, or prior.dtype=float16"
            raise ValueError(
                f"The memory of {pipe.device} is not enough to draw {len(seeds)} at once (batch_size={request.batch_size}); {remedy}."
            ) from None
    return answer, {w.picture for w in meant if isinstance(w, PresenceWarning)}


def batched(items: Sequence, size: int) -> Iterator[Sequence]:
    """Items in runs of `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))


def side_of(pipe: MoAPipeline) -> int:
    """The side of the prior's own pictures, in pixels."""
    return pipe.unet.config.sample_size * pipe.vae_scale_factor


def say_seeds(seeds: Sequence[int]) -> str:
    """Seeds that were drawn together, in words."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def embed(pipe: MoAPipeline, name: str, given: Path | Sequence[Image.Image], noun: str | None) -> SubjectEmbedding:
    """A subject's embedding, from its file or its pictures, for the adapter that the file names, or that has its noun.

    Errors: ValueError where several adapters are loaded and no noun decides.
    """
    saved = SubjectEmbedding.load(given) if isinstance(given, Path) else None
    if saved is not None and noun is None and saved.adapter in pipe.moa_adapters:
        return saved
    nouns = {adapter: its.config.noun for adapter, its in pipe.moa_adapters.items()}
    fitting = list(nouns) if len(nouns) == 1 else [adapter for adapter in nouns if nouns[adapter] == noun]
    if len(fitting) != 1:
        known = ", ".join(f"{adapter} ({its})" for adapter, its in nouns.items())
        raise ValueError(
            f"Several adapters are loaded, with the nouns {known}; say which one draws {name!r} with nouns.{name}= and one of these nouns."
        )
    if saved is not None:
        return with_noun(saved, noun, fitting[0])
    return pipe.encode_subject(given, noun=noun, adapter=fitting[0])


def maps_of(answer: MoAOutput) -> list[dict[str, np.ndarray]]:
    """Where each subject of each picture was drawn; empty without subjects."""
    rows = getattr(answer, "subject_maps", None) or [{} for _ in answer.images]
    return [{name: found.float().cpu().numpy() for name, found in row.items()} for row in rows]


@contextmanager
def notes(pictures: Sequence[str] = (), say: Say = on_stderr) -> Iterator[list[Warning]]:
    """Warnings meant for the user are said in one line each, every time, with the name of the picture they are about; others stay unseen.

    Gives a list, which holds those meant once the block has ended.
    """
    meant: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield meant
    meant += [warning.message for warning in caught if warning.category in (UserWarning, PresenceWarning)]
    for text in dict.fromkeys(f"{pictures[w.picture]}: {w.complaint}" if isinstance(w, PresenceWarning) else str(w) for w in meant):
        say(text)
