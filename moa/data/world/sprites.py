"""Rendering: an identity in a state becomes a cut-out RGBA picture, kept in a folder so that it is drawn once."""

import hashlib
import importlib.metadata
import io
import json
import os
import re
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from jaxtyping import UInt8
from PIL import Image

from moa.data.world.figures import Identity, State

CANVAS = 144  # pixels that the style's own square canvas is drawn at
MARGIN = 0.08  # drawn around the canvas, as a share of it, where a rotated figure would leave it


def cache_folder() -> Path:
    """Where sprites are kept by default: `$MOA_CACHE/world`, else `~/.cache/moa/world`."""
    return Path(os.environ.get("MOA_CACHE") or Path.home() / ".cache" / "moa") / "world"


@lru_cache(maxsize=16)
def style(name: str) -> Style:
    """A drawing style of dicebear-styles, parsed once per process."""
    return Style(json.loads((files("dicebear_styles") / f"{name}.json").read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def _versions() -> str:
    return ",".join(importlib.metadata.version(name) for name in ("dicebear-core", "dicebear-styles", "resvg-py"))


def svg(name: str, options: dict[str, str | int]) -> str:
    """The SVG of a style with these options; without the clip to the canvas, which costs most of the drawing time."""
    fixed = {"seed": "moa", "animationVariant": "none", "backgroundColor": "#00000000"}
    text = str(Avatar(style(name), fixed | options))
    return re.sub(r"<metadata.*?</metadata>", "", text.replace(' clip-path="url(#clip-', ' data-clip="url(#clip-'), flags=re.S)


def with_margin(text: str, margin: float) -> str:
    """The SVG with `margin` (a share of its square canvas) added on every side."""
    side = float(re.search(r'viewBox="0 0 ([\d.]+) ', text).group(1))
    box = f'viewBox="{-margin * side:g} {-margin * side:g} {side * (1 + 2 * margin):g} {side * (1 + 2 * margin):g}"'
    return re.sub(r'viewBox="[^"]*"', box, text, count=1)


def rasterize(text: str, width: int) -> bytes:
    """The PNG of a square SVG, `width` pixels wide."""
    return resvg_py.svg_to_bytes(svg_string=text, width=width, skip_system_fonts=True)


def _draw(who: Identity, state: State) -> bytes:
    options = state.options(who) | {"rotate": state.rotation}
    margin = max(who.margin, MARGIN if state.rotation else 0.0)
    drawing = rasterize(with_margin(svg(who.style, options), margin), round(CANVAS * (1 + 2 * margin)))
    picture = Image.open(io.BytesIO(drawing)).convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    if state.flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=3)
    return out.getvalue()


def _kept(path: Path, who: Identity, state: State) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        png = _draw(who, state)
    with suppress(OSError):  # a full disk or a read-only folder: the picture is drawn again the next time
        _write(path, png)
    return png


def _write(path: Path, png: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(png)
        os.replace(part, path)  # atomic: other workers see all of it or nothing
    except OSError:
        part.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=1024)
def sprite(who: Identity, state: State, folder: Path | None = None) -> Image.Image:
    """The figure of an identity in a state, cut out (RGBA, soft shadow included), 120 to 180 pixels high.

    The same bytes whether drawn now or read from `folder` (None: kept in this process only). Do not modify it.
    """
    if folder is None:
        png = _draw(who, state)
    else:
        name = hashlib.sha256(f"{_versions()}|{CANVAS}|{who!r}|{state!r}".encode()).hexdigest()
        png = _kept(folder / name[:2] / f"{name[2:24]}.png", who, state)
    return Image.open(io.BytesIO(png)).convert("RGBA")


def solid_box(alpha: UInt8[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive, pixels) of what is at least half opaque: the figure without its shadow."""
    rows, columns = (np.flatnonzero((alpha >= 128).any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def at_height(picture: Image.Image, height: float) -> Image.Image:
    """The sprite resized so that its figure (without the shadow) is `height` pixels high."""
    _, top, _, bottom = solid_box(np.asarray(picture.getchannel("A")))
    scale = height / (bottom - top)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)
