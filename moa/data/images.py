"""The one image loader: every picture and mask a user hands in passes through here."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000
SMALLEST = 8  # pixels a side, to see a subject
TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")


def load_image(source: str | os.PathLike | Image.Image, *, max_pixels: int = MAX_PIXELS, background: str = "white") -> Image.Image:
    """A picture as RGB: upright by its EXIF, transparency laid on `background`.

    Errors: ValueError naming the file (or "The picture given") when it is missing, no PNG, JPEG or WEBP, truncated,
    damaged, empty, wholly transparent or larger than `max_pixels`.
    """
    image, name = _read(source, max_pixels)
    if is_transparent(image):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[1] == 0:
            raise ValueError(f"{name} is wholly transparent, so there is nothing to see; save it with something on it.")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("RGB")


def load_mask(source: str | os.PathLike | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A mask as L, 0 to 255: the alpha channel of a picture that has one, else its brightness. White is the subject.

    Errors: ValueError as `load_image`, and for a mask without a white pixel.
    """
    image, name = _read(source, max_pixels)
    mask = image.convert("RGBA").getchannel("A") if is_transparent(image) else image.convert("L")
    if mask.getextrema()[1] < 128:
        raise ValueError(f"{name} is a mask without a white pixel, so it shows nothing; paint the subject white on black.")
    return mask


def has_alpha(file: str | os.PathLike) -> bool:
    """Whether a picture file carries a mask in itself: an alpha channel or a transparent colour that is used.

    Errors: ValueError as `load_image`.
    """
    image, _ = _read(file, MAX_PIXELS)
    return is_transparent(image) and image.convert("RGBA").getchannel("A").getextrema()[0] < 128


def is_transparent(image: Image.Image) -> bool:
    """Whether a picture has an alpha channel, or a transparent colour."""
    return image.mode in TRANSPARENT or "transparency" in image.info


def _read(source: str | os.PathLike | Image.Image, max_pixels: int) -> tuple[Image.Image, str]:
    """The decoded picture, upright and of 8 bits, and what to call it."""
    if isinstance(source, Image.Image):
        return _decode(source, "The picture given", max_pixels), "The picture given"
    name = repr(str(source))
    _check_file(Path(source), name)
    with _explained(name):
        image = Image.open(source, formats=FORMATS)
    with image:
        return _decode(image, name, max_pixels), name


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Pillow's many exceptions as one ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            yield
    except UnidentifiedImageError:
        raise ValueError(f"{name} is no picture that can be read here; save it as PNG, JPEG or WEBP.") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has far more pixels than are read; scale it down (512 x 512 is plenty).") from None
    except PermissionError:
        raise ValueError(f"{name} may not be read by this user; change its permissions, or copy it.") from None
    except (OSError, SyntaxError, EOFError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is damaged or cut short ({error}); save the picture again.") from None


def _check_file(path: Path, name: str) -> None:
    if path.is_dir():
        raise ValueError(f"{name} is a folder; give the path of one picture in it, or a list of them.")
    if not path.is_file():
        raise ValueError(f"There is no picture at {name}; check the path (it is read from the folder {str(Path.cwd())!r}).")
    if path.stat().st_size == 0:
        raise ValueError(f"{name} is an empty file; save the picture again.")


def _decode(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f"{name} has {width} x {height} pixels; at most {max_pixels:,} are read. Scale it down (512 x 512 is plenty).")
    if min(width, height) < SMALLEST:
        raise ValueError(f"{name} has {width} x {height} pixels; at least {SMALLEST} x {SMALLEST} are needed to see a subject.")
    with _explained(name):
        image.load()
        return _to_8_bits(ImageOps.exif_transpose(image))


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow would clip, scaled to 8 bits; other modes as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = 65535.0 if image.mode.startswith("I") else max(1.0, float(values.max(initial=0)))
    return Image.fromarray(np.uint8(np.round(255 * np.clip(values / top, 0, 1))))
