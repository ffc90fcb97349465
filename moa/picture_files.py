"""Drawn pictures as files: PNGs that remember their settings, none overwritten."""

import json
from contextlib import suppress
from itertools import count
from pathlib import Path

from PIL import Image, PngImagePlugin

from moa._version import __version__

CHUNK = "moa"


def free_path(out: Path, seed: int) -> Path:
    """seed_7.png, or seed_7_2.png and so on where that is taken: no picture is overwritten.

    The name is taken at once, by an empty file, so that two commands never get the same.
    """
    for number in count(1):
        path = out / f"seed_{seed}{'' if number == 1 else f'_{number}'}.png"
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path


def save(image: Image.Image, path: Path, settings: dict) -> None:
    """Writes a PNG with its settings as JSON in the text chunk "moa", and the prompt in one of its own."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", f"moa {__version__}")
    chunks.add_text("prompt", settings["prompt"] or "")
    chunks.add_text(CHUNK, json.dumps(settings, ensure_ascii=False))
    try:
        image.save(path, pnginfo=chunks)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_settings(path: str | Path) -> dict:
    """The settings that a picture was drawn with.

    Errors: ValueError for a picture without them.
    """
    with Image.open(path) as image:
        if CHUNK not in image.info:
            raise ValueError(f"{str(path)!r} has no settings in it; give a PNG drawn by infer.py, as it was saved.")
        return json.loads(image.info[CHUNK])
