"""The one image loader: every picture a user hands in passes through here."""

import os
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000


def load_image(source: str | os.PathLike | Image.Image, *, max_pixels: int = MAX_PIXELS, background: str = "white") -> Image.Image:
    """A picture as RGB: upright by its EXIF, transparency laid on `background`.

    Errors: ValueError naming the file (or "the picture given") when it is missing, no PNG, JPEG or WEBP, truncated,
    damaged, empty or larger than `max_pixels`.
    """
    if isinstance(source, Image.Image):
        return _flatten(source, "the picture given", max_pixels, background)
    name = repr(str(source))
    if not Path(source).is_file():
        raise ValueError(f"There is no picture at {name}; check the path (it is read from the folder {str(Path.cwd())!r}).")
    try:
        with Image.open(source, formats=FORMATS) as image:
            return _flatten(image, name, max_pixels, background)
    except UnidentifiedImageError:
        raise ValueError(f"{name} is no picture that can be read here; save it as PNG, JPEG or WEBP.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name} is damaged or cut short ({error}); save the picture again.") from None


def _flatten(image: Image.Image, name: str, max_pixels: int, background: str) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f"{name} has {width} x {height} pixels; at most {max_pixels:,} are read. Scale it down (512 x 512 is plenty).")
    if min(width, height) < 8:
        raise ValueError(f"{name} has {width} x {height} pixels; at least 8 x 8 are needed to see a subject.")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(canvas, image)
    return image.convert("RGB")
