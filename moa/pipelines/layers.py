"""Where an expert drew in every layer, from the first step to the last, on one sheet."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from moa.pipelines.grid import FAINT, GAP, INK, PAPER, grid
from moa.pipelines.overlay import enlarge

# from the prior's pixels to the expert's; each lighter than the one before, so that they are read without colours too
RAMP = np.array([(30, 32, 52), (38, 92, 118), (52, 158, 118), (172, 204, 92), (255, 246, 196)], np.float32)
PART = re.compile(r"(?:(down|up)_blocks\.(\d+)|(mid)_block)\.attentions\.(\d+)\.transformer_blocks\.(\d+)\.attn([12])")


def layer_sheet(
    routing: Mapping[tuple[int, str], Float[Tensor, "b e h w"]],
    expert: int = 1,
    *,
    name: str = "expert",
    row: int = 0,
    columns: int = 10,
    tile: int = 56,
) -> Image.Image:
    """The weight of one expert (1 is the first adapter's) in picture `row`: a row a layer, a column a step, and their means.

    Steps outside of the window in which subjects act have no maps, and no column.

    `routing` is what a call with `output_routing="full"` answers; `columns` of the steps are shown, `tile` is a map's longer side.
    Errors: ValueError where nothing was routed.
    """
    if not isinstance(routing, Mapping) or not routing:
        raise ValueError("There are no maps of layers; draw subjects with output_routing='full', and give answer.routing.")
    experts = next(iter(routing.values())).shape[1]
    if not 1 <= expert < experts:
        raise ValueError(f"expert={expert} is none of these maps; give 1 to {experts - 1}.")
    maps = {key: weights[row, expert].float().cpu().numpy() for key, weights in routing.items()}
    steps, sites = sorted({step for step, _ in maps}), list(dict.fromkeys(site for _, site in maps))
    shown = spread(steps, columns)
    # a layer draws in all steps or in none
    rows = [[*(maps[step, site] for step in shown), mean(maps[step, site] for step in steps)] for site in sites]
    largest = max((found[0] for found in rows), key=np.size).shape
    rows.append([mean(enlarge(found[c], largest[::-1]) for found in rows) for c in range(len(shown) + 1)])
    blocks = [place_of(site)[0] for site in sites]
    size = (round(tile * largest[1] / max(largest)), round(tile * largest[0] / max(largest)))
    cells, labels = [], []
    for i, (found, label) in enumerate(zip(rows, [*short_names(sites), "all layers"], strict=True)):
        if i and blocks[i - 1 : i] != blocks[i : i + 1]:  # a space between blocks, and before the mean
            cells.append([]), labels.append("")
        cells.append([paint(values, size) for values in found])
        labels.append(label)
    page = grid(cells, tile=tile, columns=[*(f"{step + 1}" for step in shown), "mean"], labels=labels, gap=GAP // 3)
    return with_scale(page, name)


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most `count` of the items, the first and the last among them, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def mean(maps) -> Float[np.ndarray, "h w"]:
    """The mean of maps of one size."""
    return np.mean(np.stack(list(maps)), axis=0)


def place_of(site: str) -> tuple[str, str, str, str]:
    """Of a layer's module name: its block, attention and transformer block in it, and whether it is self- or cross-attention.

    A name of another make is a block of its own.
    """
    found = PART.fullmatch(site)
    if found is None:
        return site, "", "", ""
    way, number, mid, attention, block, which = found.groups()
    return mid or f"{way} {number}", attention, block, "self" if which == "1" else "cross"


def short_names(sites: Sequence[str]) -> list[str]:
    """Module names for people: up 1, second of its attentions, cross; numbers that tell nothing apart are left out."""
    places = [place_of(site) for site in sites]
    names = []
    for block, attention, inner, which in places:
        several = len({p[1] for p in places if p[0] == block}) > 1
        deep = len({p[2] for p in places if p[:2] == (block, attention)}) > 1
        numbers = [attention] * several + [inner] * deep
        names.append(" ".join(filter(None, [block + "".join(f".{number}" for number in numbers), which])))
    return names


def paint(values: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Image.Image:
    """A map of 0..1 in the colours of `RAMP`, its own pixels visible, at (width, height)."""
    at = np.clip(values, 0, 1) * (len(RAMP) - 1)
    colors = np.stack([np.interp(at, range(len(RAMP)), channel) for channel in RAMP.T], axis=-1)
    return Image.fromarray(np.uint8(np.round(colors))).resize(size, Image.Resampling.NEAREST)


def with_scale(page: Image.Image, name: str) -> Image.Image:
    """The page with what its columns are, and what its colours mean, underneath."""
    font = ImageFont.load_default(12)
    canvas = Image.new("RGB", (page.width, page.height + 3 * GAP), PAPER)
    canvas.paste(page)
    pen, middle, right = ImageDraw.Draw(canvas), page.height + GAP, page.width - GAP
    pen.text((GAP, middle), "columns: steps", FAINT, font, anchor="lm")
    pen.text((right, middle), name, INK, font, anchor="rm")
    right -= round(font.getlength(name)) + GAP // 2
    bar = paint(np.linspace(0, 1, 120)[None], (120, GAP))
    canvas.paste(bar, (right - bar.width, middle - GAP // 2))
    pen.text((right - bar.width - GAP // 2, middle), "prior", INK, font, anchor="rm")
    return canvas
