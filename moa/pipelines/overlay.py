"""Showing where the subjects are: a picture beside its routing, and sheets of many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from moa.pipelines.grid import FAINT, GAP, INK, PAPER, fit
from moa.where.presence import leads

# Okabe and Ito's colours, told apart by everyone
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))
SMALLEST = 384  # side in pixels that small pictures are enlarged to


def spotlight(image: Image.Image, maps: Sequence[Float[np.ndarray, "h w"]], *, line: float = 2.5) -> Image.Image:
    """The picture, dark and grey where the prior drew, lit and tinted where a subject is, with its contour in its colour.

    `maps` hold the weight of each subject, 0..1, at any size; `line` is the contour's width in pixels.
    """
    picture = np.asarray(image.convert("RGB"), np.float32) / 255
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    large = np.stack([enlarge(found, image.size) for found in maps]) if maps else np.zeros((0, *grey.shape), np.float32)
    lit = np.clip(large.sum(0), 0, 1)[..., None]
    out = lit * picture + (1 - lit) * (0.12 + 0.38 * grey[..., None])
    for found, color in zip(large, _colors(len(maps)), strict=True):
        out = _mix(out, color, 0.3 * found)
    for ahead, color in zip(leads(torch.from_numpy(large)).numpy(), _colors(len(maps)), strict=True):
        out = _mix(out, color, contour(ahead, line))
    return Image.fromarray(np.uint8(np.round(255 * np.clip(out, 0, 1))))


def enlarge(found: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    """A map smoothly resized to a picture's (width, height), 0..1."""
    large = Image.fromarray(np.asarray(found, np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large, np.float32), 0, 1)


def contour(values: Float[np.ndarray, "h w"], line: float) -> Float[np.ndarray, "h w"]:
    """How much of each pixel the line of value 0 covers, 0..1: its distance is the value over the slope."""
    down, right = np.gradient(values)
    distance = np.abs(values) / np.maximum(np.hypot(down, right), 1e-4)
    return np.clip(line / 2 + 0.5 - distance, 0, 1)


def overlay(image: Image.Image, maps: Mapping[str, Float[np.ndarray, "h w"]]) -> Image.Image:
    """The picture and, beside it, where each named subject was drawn, with a legend underneath."""
    factor = max(1, -(-SMALLEST // min(image.size)))
    large = image.convert("RGB").resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    font = ImageFont.load_default(max(13, large.height // 26))
    strip = round(2.2 * font.size)
    canvas = Image.new("RGB", (2 * large.width + 3 * GAP, large.height + 2 * GAP + strip), PAPER)
    canvas.paste(large, (GAP, GAP))
    canvas.paste(spotlight(large, list(maps.values()), line=large.height / 150), (large.width + 2 * GAP, GAP))
    _legend(canvas, maps, font, left=large.width + 2 * GAP, middle=large.height + GAP + strip // 2 + GAP // 4)
    return canvas


def _legend(canvas: Image.Image, maps: Mapping[str, np.ndarray], font, left: int, middle: int) -> None:
    pen, radius = ImageDraw.Draw(canvas), font.size * 0.42
    if not maps:
        return
    ahead = leads(torch.from_numpy(np.stack(list(maps.values()))))
    for name, lead, color in zip(maps, ahead, _colors(len(maps)), strict=True):
        pen.ellipse([left, middle - radius, left + 2 * radius, middle + radius], tuple(round(255 * v) for v in color))
        left += round(3 * radius)
        for text, ink in ((name, INK), (f"  {100 * float((lead > 0).float().mean()):.0f} %", FAINT)):
            pen.text((left, middle), text, ink, font, anchor="lm")
            left += round(pen.textlength(text, font))
        left += 2 * font.size


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sheet: reference pictures at its head, and cells of (picture, routing), each under a title or with its own."""

    heads: tuple[Image.Image, ...]
    cells: tuple[tuple[Image.Image, ...], ...]
    titles: tuple[str, ...] = ()


def sheet(rows: Sequence[Row], *, tile: int = 160) -> Image.Image:
    """Rows of pictures on white; a row with titles has them above its cells. `tile` is a picture's side in pixels."""
    font = ImageFont.load_default(max(11, tile // 11))
    head = GAP + tile
    width = head + GAP + max(len(row.cells) for row in rows) * (2 * tile + 2 * GAP)
    heights = [tile + GAP + (2 * font.size if row.titles else 0) for row in rows]
    canvas, top = Image.new("RGB", (width, sum(heights) + GAP), PAPER), GAP
    for row, height in zip(rows, heights, strict=True):
        below = top + height - tile - GAP
        for i, title in enumerate(row.titles):
            ImageDraw.Draw(canvas).text((head + GAP + i * (2 * tile + 2 * GAP), top + font.size), title, INK, font, anchor="lm")
        side = tile // len(row.heads) if row.heads else tile
        for i, picture in enumerate(row.heads):
            canvas.paste(fit(picture, side), (GAP + i * side, below + (tile - side) // 2))
        for i, cell in enumerate(row.cells):
            for j, picture in enumerate(cell):
                canvas.paste(fit(picture, tile), (head + GAP + i * (2 * tile + 2 * GAP) + j * (tile + 2), below))
        top += height
    return canvas


def _colors(count: int) -> list[np.ndarray]:
    return [np.array(COLORS[i % len(COLORS)], np.float32) / 255 for i in range(count)]


def _mix(picture: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    return picture + (color - picture) * share[..., None]
