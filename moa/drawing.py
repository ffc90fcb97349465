"""From a checked request to pictures: opening the pipeline, drawing, one picture or sheet after another."""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from moa.data.images import load_image
from moa.device import find_device
from moa.picture_files import free_path, save
from moa.pipelines import MoAPipeline
from moa.pipelines.overlay import Row, fit, overlay, sheet, spotlight
from moa.pipelines.plan import with_noun
from moa.places import find_model
from moa.prompt.subject import SubjectEmbedding
from moa.request import Request
from moa.where import MoAAdapter
from moa.where.presence import PresenceWarning

log = logging.getLogger("moa.infer")


def open_pipeline(request: Request) -> MoAPipeline:
    """The pipeline with the adapters that the request needs, on its device; adapters are read first, as they are small.

    Errors: ValueError for a device that is not here, and as `MoAPipeline`.
    """
    quiet()
    device = find_device(request.device)
    wanted = {name: path for name, path in request.adapters.items() if path and (request.subjects or request.prompt is None)}
    adapters = {name: MoAAdapter.from_pretrained(find_model(Path(path).expanduser())) for name, path in wanted.items()}
    pipe = MoAPipeline.from_pretrained(Path(request.prior.path).expanduser(), dtype=getattr(torch, request.prior.dtype), variant=request.prior.variant)
    pipe.to(device).set_progress_bar_config(disable=True)
    with notes():
        for name, adapter in adapters.items():
            pipe.load_moa(adapter, name)
    pipe.set_moa_scale(request.scale, window=tuple(request.window))
    if request.scales:
        pipe.set_moa_scale(request.scales, window=tuple(request.window))
    return pipe


def draw(pipe: MoAPipeline, request: Request, pictures: Mapping, regions: Mapping, out: Path) -> Iterator[Path]:
    """Draws `count` pictures, one seed each, some together; yields every file as it is written, pictures and routing overlays."""
    subjects = {name: embed(pipe, name, given, request.nouns.get(name)) for name, given in pictures.items()}
    for seeds in batched(range(request.seed, request.seed + request.count), request.together(side_of(pipe))):
        start = time.perf_counter()
        answer = call(pipe, request, request.prompt, subjects, regions, seeds, [f"seed {seed}" for seed in seeds])
        for seed, image, maps in zip(seeds, answer.images, maps_of(answer), strict=True):
            path = free_path(out, seed)
            save(image, path, request.record() | {"seed": seed, "drawn_with": list(seeds)})
            yield path
            if request.overlay and maps:
                beside = path.with_suffix(".routing.png")
                overlay(image, maps).save(beside)
                yield beside
        took = time.perf_counter() - start
        log.info("%s in %.2f s%s", say_seeds(seeds), took, f", {took / len(seeds):.2f} s a picture" if len(seeds) > 1 else "")


def draw_showcase(pipe: MoAPipeline, request: Request, examples: Mapping[str, Path], out: Path) -> Iterator[Path]:
    """Draws a sheet: each example subject in every scene, then two together, with the routing beside each picture."""
    show, rows = request.showcase, []
    pictures = {name: load_image(path) for name, path in examples.items()}
    subjects = {name: pipe.encode_subject(picture) for name, picture in pictures.items()}
    names = list(examples)
    casts = [({"a": name}, show.scenes) for name in names] + [({"a": a, "b": b}, show.pairs) for a, b in zip(names[::2], names[1::2], strict=False)]
    for cast, prompts in casts:
        start = time.perf_counter()
        given, who, tiles = {name: subjects[who] for name, who in cast.items()}, " and ".join(cast.values()), []
        for some in batched(prompts, request.together(side_of(pipe))):
            answer = call(pipe, request, list(some), given, {}, [request.seed] * len(some), [f"{who} {title(prompt)}" for prompt in some])
            tiles += zip(answer.images, maps_of(answer), strict=True)
        lit = [(image, spotlight(fit(image, 2 * show.tile), list(maps.values()), line=show.tile / 40)) for image, maps in tiles]
        first = len(rows) in (0, len(names))
        rows.append(Row(tuple(pictures[who] for who in cast.values()), tuple(lit), tuple(map(title, prompts)) if first else ()))
        log.info("%s in %.1f s", who, time.perf_counter() - start)
    path = out / "showcase.png"
    save(sheet(rows, tile=show.tile), path, request.record() | {"scenes": show.scenes, "pairs": show.pairs})
    yield path


def call(
    pipe: MoAPipeline, request: Request, prompt: str | list[str], subjects: Mapping, regions: Mapping, seeds: Sequence[int], names: Sequence[str]
):  # fmt: skip
    """One call of the pipeline: a picture a seed, all of one prompt or each of its own; `names` are the pictures' in notes on stderr.

    Errors: ValueError where the memory of the device is not enough.
    """
    many = isinstance(prompt, list)
    negative = [request.negative_prompt] * len(prompt) if many and request.negative_prompt else request.negative_prompt
    with notes(names):
        try:
            return pipe(
                prompt, subjects=subjects or None, routing=regions or None, output_routing=bool(subjects), negative_prompt=negative,
                num_inference_steps=request.steps, guidance_scale=request.guidance, height=request.height, width=request.width,
                num_images_per_prompt=1 if many else len(seeds), generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            )  # fmt: skip
        except torch.OutOfMemoryError:
            remedy = "set batch_size=1" if len(seeds) > 1 else "give a smaller height and width, or prior.dtype=float16"
            raise ValueError(f"The memory of {pipe.device} is not enough to draw {len(seeds)} at once (batch_size={request.batch_size}); {remedy}.") from None


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
    """A subject's embedding, from its file or its pictures, for the adapter that has its noun.

    Errors: ValueError where several adapters are loaded and no noun decides.
    """
    nouns = {adapter: its.config.noun for adapter, its in pipe.moa_adapters.items()}
    fitting = list(nouns) if len(nouns) == 1 else [adapter for adapter in nouns if nouns[adapter] == noun]
    if len(fitting) != 1:
        known = ", ".join(f"{adapter} ({its})" for adapter, its in nouns.items())
        raise ValueError(f"Several adapters are loaded, with the nouns {known}; say which one draws {name!r} with nouns.{name}= and one of these nouns.")
    if isinstance(given, Path):
        return with_noun(SubjectEmbedding.load(given), noun, fitting[0])
    return pipe.encode_subject(given, noun=noun, adapter=fitting[0])


def maps_of(answer) -> list[dict[str, np.ndarray]]:
    """Where each subject of each picture was drawn; empty without subjects."""
    rows = getattr(answer, "subject_maps", None) or [{} for _ in answer.images]
    return [{name: found.float().cpu().numpy() for name, found in row.items()} for row in rows]


def title(prompt: str) -> str:
    """What a prompt says besides its subjects."""
    return prompt.replace("<a> and <b>", "").replace("<a>", "").strip(" ,")


@contextmanager
def notes(pictures: Sequence[str] = ()) -> Iterator[None]:
    """Warnings meant for the user become one line each on stderr, every time, with the name of the picture they are about; others stay unseen."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    meant = [warning.message for warning in caught if warning.category in (UserWarning, PresenceWarning)]
    for text in dict.fromkeys(f"{pictures[w.picture]}: {w.complaint}" if isinstance(w, PresenceWarning) else str(w) for w in meant):
        log.warning("note: %s", text)


def quiet() -> None:
    """No loading bars and no advice of the libraries underneath."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
