"""From a checked request to pictures: opening the pipeline, drawing, one picture or sheet after another."""

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from moa.pipelines.grid import fit, grid
from moa.pipelines.layers import layer_sheet
from moa.pipelines.overlay import Row, overlay, sheet, spotlight
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


def draw(pipe: MoAPipeline, request: Request, pictures: Mapping, regions: Mapping, out: Path, *, say: Say = on_stderr) -> Iterator[Path]:
    """Draws `count` pictures, one seed each, some together; yields every file as it is written, pictures and routing overlays.

    `say` is told what there is to note, such as a subject that may be missing.
    """
    subjects = {name: embed(pipe, name, given, request.nouns.get(name)) for name, given in pictures.items()}
    for seeds in batched(range(request.seed, request.seed + request.count), request.together(side_of(pipe))):
        start = time.perf_counter()
        answer = call(pipe, request, request.prompt, subjects, regions, seeds, [f"seed {seed}" for seed in seeds], say)
        for number, (seed, image, maps) in enumerate(zip(seeds, answer.images, maps_of(answer), strict=True)):
            path, settings = free_path(out, seed), request.record() | {"seed": seed, "drawn_with": list(seeds)}
            save(image, path, settings)
            yield path
            if request.overlay and maps:
                beside = path.with_suffix(".routing.png")
                save(overlay(image, maps), beside, settings)
                yield beside
            if request.layers:
                yield from save_layers(answer, number, path, settings)
        took = time.perf_counter() - start
        log.info("%s in %.2f s%s", say_seeds(seeds), took, f", {took / len(seeds):.2f} s a picture" if len(seeds) > 1 else "")


def save_layers(answer, number: int, path: Path, settings: dict) -> Iterator[Path]:
    """Saves, beside the picture of a call with that number, a sheet of layers and steps for every adapter that drew."""
    for expert, name in enumerate(answer.experts, start=1):
        beside = path.with_suffix(".layers.png" if len(answer.experts) == 1 else f".layers.{name}.png")
        save(layer_sheet(answer.routing, expert, name=name, row=number), beside, settings)
        yield beside


def draw_morph(pipe: MoAPipeline, request: Request, pictures: Mapping, targets: Mapping, regions: Mapping, out: Path) -> Iterator[Path]:
    """Draws, from each of `count` seeds, subjects that turn into others; yields the row on one sheet, and each of its pictures."""
    first = {name: embed(pipe, name, given, request.nouns.get(name)) for name, given in pictures.items()}
    last = {name: embed(pipe, name, given, request.nouns.get(name)) for name, given in targets.items()}
    shares = [i / (request.stages - 1) for i in range(request.stages)]
    casts = [first | {name: first[name].morph(end, share) for name, end in last.items()} for share in shares]
    labels = [f"{100 * share:.0f} %" for share in shares]
    for seed in range(request.seed, request.seed + request.count):
        start, images = time.perf_counter(), []
        for some in batched(range(request.stages), request.together(side_of(pipe))):
            given, names = [casts[i] for i in some], [f"seed {seed}, {labels[i]}" for i in some]
            images += call(pipe, request, [request.prompt] * len(some), given, regions, [seed] * len(some), names).images
        path = free_path(out, seed)
        row = [portrait(pictures[name] for name in last), *images, portrait(targets.values())]
        page = grid([row], tile=192, columns=["from", *labels, "to"])
        save(page, path, request.record() | {"seed": seed})
        yield path
        for i, image in enumerate(images):
            beside = path.with_suffix(f".stage_{i + 1}.png")
            save(image, beside, request.record() | {"seed": seed, "share": shares[i]})
            yield beside
        log.info("%s in %.2f s", say_seeds([seed]), time.perf_counter() - start)


def portrait(given: Iterable[Path | Sequence[Image.Image]]) -> Image.Image | None:
    """The first picture of each of some subjects, one below the other; None where all come from saved embeddings."""
    shown = [those[0] for those in given if not isinstance(those, Path)]
    return grid([[picture] for picture in shown], gap=0) if shown else None


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
    pipe: MoAPipeline, request: Request, prompt: str | list[str], subjects: Mapping | Sequence[Mapping], regions: Mapping, seeds: Sequence[int], names: Sequence[str],
    say: Say = on_stderr,
):  # fmt: skip
    """One call of the pipeline: a picture a seed, all of one prompt or each of its own; `names` are the pictures' in what `say` is told.

    Errors: ValueError where the memory of the device is not enough.
    """
    many = isinstance(prompt, list)
    negative = [request.negative_prompt] * len(prompt) if many and request.negative_prompt else request.negative_prompt
    with notes(names, say):
        try:
            return pipe(
                prompt, subjects=subjects or None, routing=regions or None, output_routing="full" if request.layers else bool(subjects), keep_context=request.keep_context, negative_prompt=negative,
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
def notes(pictures: Sequence[str] = (), say: Say = on_stderr) -> Iterator[None]:
    """Warnings meant for the user are said in one line each, every time, with the name of the picture they are about; others stay unseen."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    meant = [warning.message for warning in caught if warning.category in (UserWarning, PresenceWarning)]
    for text in dict.fromkeys(f"{pictures[w.picture]}: {w.complaint}" if isinstance(w, PresenceWarning) else str(w) for w in meant):
        say(text)


def quiet() -> None:
    """No loading bars and no advice of the libraries underneath."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
