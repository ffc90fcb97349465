"""One picture a seed, with its routing and its layers beside it."""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from moa.drawing.call import Say, batched, call, embed, maps_of, on_stderr, say_seeds, side_of
from moa.picture_files import free_path, save
from moa.pipelines import MoAPipeline
from moa.pipelines.layers import layer_sheet
from moa.pipelines.output import MoAOutput
from moa.pipelines.overlay import overlay
from moa.request import Request

log = logging.getLogger("moa.infer")


def draw(pipe: MoAPipeline, request: Request, pictures: Mapping, regions: Mapping, out: Path, *, say: Say = on_stderr) -> Iterator[Path]:
    """Draws `count` pictures, one seed each, some together; yields every file as it is written, pictures and routing overlays.

    A picture in which a subject may be missing, or there twice, is drawn again from another seed, up to `retries` times, and the
    last try is kept. `say` is told what there is to note, such as such a subject.
    """
    subjects = {name: embed(pipe, name, given, request.nouns.get(name)) for name, given in pictures.items()}
    for seeds in batched(range(request.seed, request.seed + request.count), request.together(side_of(pipe))):
        for tries_left in reversed(range(request.retries + 1)):
            start = time.perf_counter()
            answer, poor = call(pipe, request, request.prompt, subjects, regions, seeds, [f"seed {seed}" for seed in seeds], say)
            again = poor if tries_left else set()
            if request.layers and not answer.routing:
                say("no subject acted in any step, so there are no layers to show")
            for number, seed in enumerate(seeds):
                if number not in again:
                    yield from save_picture(
                        answer, number, free_path(out, seed), request, request.record() | {"seed": seed, "drawn_with": list(seeds)}
                    )
            took = time.perf_counter() - start
            log.info("%s in %.2f s%s", say_seeds(seeds), took, f", {took / len(seeds):.2f} s a picture" if len(seeds) > 1 else "")
            if not again:
                break
            last, seeds = [seeds[number] for number in sorted(again)], [seeds[number] + request.count for number in sorted(again)]
            say("; ".join(f"seed {old} is drawn again as seed {new}" for old, new in zip(last, seeds, strict=True)))


def save_picture(answer: MoAOutput, number: int, path: Path, request: Request, settings: dict) -> Iterator[Path]:
    """Saves the picture of a call with that number, and beside it, where they are asked for, its routing and its layers."""
    image, maps = answer.images[number], maps_of(answer)[number]
    save(image, path, settings)
    yield path
    if request.overlay and maps:
        beside = path.with_suffix(".routing.png")
        save(overlay(image, maps), beside, settings)
        yield beside
    if request.layers and answer.routing:
        yield from save_layers(answer, number, path, settings)


def save_layers(answer: MoAOutput, number: int, path: Path, settings: dict) -> Iterator[Path]:
    """Saves, beside the picture of a call with that number, a sheet of layers and steps for every adapter that drew."""
    for expert, name in enumerate(answer.experts, start=1):
        beside = path.with_suffix(".layers.png" if len(answer.experts) == 1 else f".layers.{name}.png")
        save(layer_sheet(answer.routing, expert, name=f"adapter {name}", row=number), beside, settings)
        yield beside
