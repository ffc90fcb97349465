"""Showing where the subjects are: a picture beside its routing."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from moa.pipelines.grid import FAINT, GAP, INK, PAPER
from moa.where.presence import leads

# Okabe and Ito's colours, told apart by everyone
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))
FADED, EDGE = (0.55, 0.95), np.array([0.15, 0.15, 0.17], np.float32)  # black and white of what is not lit; beside a contour
FLAT = 0.01  # slope a pixel below which a line fades: an untrained router is nearly even, and crosses 0 everywhere
SMALLEST = 384  # side in pixels that small pictures are enlarged to


def spotlight(image: Image.Image, maps: Sequence[Float[np.ndarray, "h w"]], *, line: float = 2.5) -> Image.Image:
    """The picture, faded and grey where the prior drew, as it is where a subject is, with its contour in its colour.

    `maps` hold the weight of each subject, 0..1, at any size; `line` is the contour's width in pixels.
    """
    picture = np.asarray(image.convert("RGB"), np.float32) / 255
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    large = np.stack([enlarge(found, image.size) for found in maps]) if maps else np.zeros((0, *grey.shape), np.float32)
    lit = np.clip(large.sum(0), 0, 1)[..., None]
    out = lit * picture + (1 - lit) * (FADED[0] + (FADED[1] - FADED[0]) * grey[..., None])
    for ahead, color in zip(leads(torch.from_numpy(large)).numpy(), _colors(len(maps)), strict=True):
        out = _mix(out, EDGE, 0.7 * contour(ahead, 1.8 * line))
        out = _mix(out, color, contour(ahead, line))
    return Image.fromarray(np.uint8(np.round(255 * np.clip(out, 0, 1))))


def enlarge(found: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    """A map smoothly resized to a picture's (width, height), 0..1."""
    large = Image.fromarray(np.asarray(found, np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large, np.float32), 0, 1)


def contour(values: Float[np.ndarray, "h w"], line: float) -> Float[np.ndarray, "h w"]:
    """How much of each pixel the line of value 0 covers, 0..1: its distance is the value over the slope. Where values hardly change it fades."""
    slope = np.hypot(*np.gradient(values))
    distance = np.abs(values) / np.maximum(slope, 1e-4)
    return np.clip(line / 2 + 0.5 - distance, 0, 1) * np.minimum(1, slope / FLAT)


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


def _colors(count: int) -> list[np.ndarray]:
    return [np.array(COLORS[i % len(COLORS)], np.float32) / 255 for i in range(count)]


def _mix(picture: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    return picture + (color - picture) * share[..., None]
