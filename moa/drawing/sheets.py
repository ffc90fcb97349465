"""Several pictures on one page: a subject that turns into another, and a showcase of example subjects."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from moa.data.images import load_image
from moa.drawing.call import batched, call, embed, maps_of, say_seeds, side_of
from moa.picture_files import free_path, save
from moa.pipelines import MoAPipeline
from moa.pipelines.grid import below, fit, grid
from moa.pipelines.overlay import spotlight
from moa.request import Request

log = logging.getLogger("moa.infer")


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
            answer, _ = call(pipe, request, [request.prompt] * len(some), given, regions, [seed] * len(some), names)
            images += answer.images
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
    """Draws a sheet: each example subject in every scene, then two together, and where they are in the last scene."""
    show, names = request.showcase, list(examples)
    pictures = {name: load_image(path) for name, path in examples.items()}
    subjects = {name: pipe.encode_subject(picture) for name, picture in pictures.items()}
    singles, pairs = [{"a": name} for name in names], [{"a": a, "b": b} for a, b in zip(names[::2], names[1::2], strict=False)]
    pages = []
    for casts, prompts in ((singles, show.scenes), (pairs, show.pairs)):
        rows = []
        for cast in casts:
            start, drawn = time.perf_counter(), []
            given, who = {name: subjects[person] for name, person in cast.items()}, " and ".join(cast.values())
            for some in batched(prompts, request.together(side_of(pipe))):
                answer, _ = call(
                    pipe, request, list(some), given, {}, [request.seed] * len(some), [f"{who} {title(prompt)}" for prompt in some]
                )
                drawn += zip(answer.images, maps_of(answer), strict=True)
            image, maps = drawn[-1]
            where = spotlight(fit(image, show.tile), list(maps.values()), line=show.tile / 60)
            rows.append([grid([[pictures[person] for person in cast.values()]], gap=0), *(image for image, _ in drawn), where])
            log.info("%s in %.1f s", who, time.perf_counter() - start)
        heads = ["reference", *map(title, prompts), f"where, {title(prompts[-1])}"]
        labels = ["\n".join(cast.values()) for cast in casts]
        pages.append(grid(rows, tile=show.tile, columns=heads, labels=labels))
    path = out / "showcase.png"
    save(below(*pages), path, request.record() | {"scenes": show.scenes, "pairs": show.pairs})
    yield path


def title(prompt: str) -> str:
    """What a prompt says besides its subjects."""
    return prompt.replace("<a> and <b>", "").replace("<a>", "").strip(" ,")
