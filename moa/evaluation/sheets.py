"""Pictures for people to look at: maps laid over pictures, labelled grids, and images inside a web page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from moa.pipelines.overlay import spotlight

INK, PAPER = (60, 60, 67), (250, 250, 248)


def overlay(image: UInt8[np.ndarray, "h w 3"], maps: Sequence[Float[np.ndarray, "h2 w2"]]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture with its routing over it, as the pipeline's own overlays show it."""
    return np.asarray(spotlight(Image.fromarray(image), maps, line=1.5))


def sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"] | None]], *, columns: Sequence[str] = (), labels: Sequence[str] = (), scale: int = 1, gap: int = 6
) -> Image.Image:
    """Pictures of one size in rows (None leaves a hole), with a head over every column and a label before every row."""
    first = next(tile for row in rows for tile in row if tile is not None)
    height, width = scale * first.shape[0], scale * first.shape[1]
    font = ImageFont.load_default(size=12)
    left = max((int(font.getlength(label)) for label in labels), default=0) + (2 * gap if labels else gap)
    top = (20 if columns else 0) + gap
    across = max(map(len, rows))
    canvas = Image.new("RGB", (left + across * (width + gap), top + len(rows) * (height + gap)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, text in enumerate(columns):
        draw.text((left + column * (width + gap) + width / 2, top - gap), text, INK, font, anchor="mb")
    for r, row in enumerate(rows):
        y = top + r * (height + gap)
        if labels:
            draw.text((left - gap, y + height / 2), labels[r], INK, font, anchor="rm")
        for c, tile in enumerate(row):
            if tile is not None:
                canvas.paste(Image.fromarray(tile).resize((width, height), Image.Resampling.NEAREST), (left + c * (width + gap), y))
    return canvas


def data_uri(image: UInt8[np.ndarray, "h w 3"] | Image.Image) -> str:
    """A picture as the source of an <img>, without loss."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
