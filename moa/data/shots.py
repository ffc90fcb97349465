"""One picture of a subject with its mask and caption, read from its files and cut to squares."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from moa.data.images import has_alpha, load_image, load_mask

NAME = "subject"
ROOM = 1.15  # of a subject's own size, around it in a reference


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture, square: as a target with its mask, and cut close as a reference; `exact` says that the mask was given."""

    image: UInt8[np.ndarray, "h w 3"]
    mask: Bool[np.ndarray, "h w"]
    close: UInt8[np.ndarray, "h w 3"]
    close_mask: Bool[np.ndarray, "h w"]
    exact: bool
    caption: str | None


def read_shot(file: Path, size: int, fit: str) -> Shot:
    """A picture with its mask and caption, cut and resized.

    Errors: ValueError naming the file.
    """
    image, said = load_image(file), file.with_suffix(".txt")
    mask = find_mask(file, image.size)
    caption = read_text(said) if said.is_file() and said.name != "noun.txt" else None
    if caption is not None:
        check_prompt(caption, f"The caption in {str(said)!r}:")
    exact = mask is not None
    mask = (mask or ellipse(image.size)).point(lambda value: 255 * (value >= 128))
    whole = (0, 0, *image.size)
    box = enclosing(whole) if fit == "whole" else square_in(image.size, mask.getbbox())
    close = enclosing(mask.getbbox(), ROOM) if exact else square_in(image.size, whole)
    return Shot(*cut(image, mask, box, size), *cut(image, mask, close, size), exact, caption)


def find_mask(file: Path, size: tuple[int, int]) -> Image.Image | None:
    """The mask that comes with a picture, of its `size` (width, height), or None.

    Errors: ValueError for a mask of another size.
    """
    beside = file.with_name(f"{file.stem}.mask.png")
    if not beside.is_file():
        return load_mask(file) if has_alpha(file) else None
    mask = load_mask(beside)
    if mask.size != size:
        raise ValueError(
            f"{str(beside)!r} has {mask.width} x {mask.height} pixels, its picture {size[0]} x {size[1]}; save the mask at the picture's size."
        )
    return mask


def read_text(file: Path) -> str:
    """A text file's words on one line.

    Errors: ValueError naming the file if it is not UTF-8.
    """
    try:
        return " ".join(file.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(file)!r} is not UTF-8 text ({error}); save it as UTF-8.") from None


def check_prompt(prompt: str, source: str) -> None:
    """ValueError unless the prompt names the subject exactly once."""
    if not isinstance(prompt, str) or prompt.count(f"<{NAME}>") != 1:
        raise ValueError(
            f"{source} {prompt!r} must say <{NAME}> once, where the subject is; write for instance 'a photo of <{NAME}> in the snow'."
        )


# -- geometry: boxes are (left, top, right, bottom) in pixels -----------------------------------------------------------


def ellipse(size: tuple[int, int]) -> Image.Image:
    """The largest ellipse in a picture of `size` (width, height), white on black."""
    across, down = ((np.arange(n) + 0.5) / n * 2 - 1 for n in size)
    return Image.fromarray(np.uint8(255 * (across[None, :] ** 2 + down[:, None] ** 2 <= 1)))


def square_in(size: tuple[int, int], about: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The largest square inside a picture, as near to the middle of the box `about` as it goes."""
    side = min(size)
    left, top = (min(max((about[i] + about[i + 2] - side) // 2, 0), size[i] - side) for i in (0, 1))
    return left, top, left + side, top + side


def enclosing(box: tuple[int, int, int, int], room: float = 1.0) -> tuple[int, int, int, int]:
    """The square around a box with some room; it may reach over the picture's edge."""
    side = round(room * max(box[2] - box[0], box[3] - box[1]))
    left, top = (box[0] + box[2] - side) // 2, (box[1] + box[3] - side) // 2
    return left, top, left + side, top + side


def cut(image: Image.Image, mask: Image.Image, box: tuple[int, int, int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The box of a picture and its mask as squares of `size` pixels; white, and no subject, beyond the edge."""
    canvas = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), "white")
    canvas.paste(image, (-box[0], -box[1]))
    square = canvas.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(square), np.asarray(mask.crop(box).resize((size, size), Image.Resampling.BILINEAR)) >= 128
