"""Pictures and masks as they are read; what cannot be read is in test_errors."""

import numpy as np
import pytest
from PIL import Image

from moa.data.images import has_alpha, load_image, load_mask

HALF = np.repeat([[0] * 20 + [255] * 20], 30, axis=0).astype(np.uint8)


def corner(image: Image.Image, x: int = 0, y: int = 0):
    return image.getpixel((x, y))


def test_pictures_stand_upright(tmp_path):
    image, exif = Image.fromarray(HALF), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (30, 40) and load_mask(tmp_path / "a.jpg").size == (30, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_the_background_and_is_a_mask(mode, tmp_path):
    image = Image.merge("LA", [Image.new("L", (40, 30), 9), Image.fromarray(HALF)])
    if mode == "P":
        image = Image.fromarray(HALF).quantize(2)
        image.info["transparency"] = image.getpixel((0, 0))
    (image if mode == "P" else image.convert(mode)).save(tmp_path / "a.png")
    read = load_image(tmp_path / "a.png", background="red")
    assert read.mode == "RGB" and corner(read) == (255, 0, 0) and corner(read, 39) != (255, 0, 0)
    assert np.array_equal(np.asarray(load_mask(tmp_path / "a.png")), HALF) and has_alpha(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "I;16"])
def test_other_modes_become_rgb_at_their_full_range(mode, tmp_path):
    suffix = "jpg" if mode == "CMYK" else "png"
    image = Image.fromarray(HALF.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(HALF).convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    read = np.asarray(load_image(tmp_path / f"a.{suffix}"), int)
    assert read.shape == (30, 40, 3) and read[:, :10].max() < 12 and read[:, 30:].min() > 243
    assert not has_alpha(tmp_path / f"a.{suffix}")


def test_opaque_alpha_is_no_mask(tmp_path):
    Image.new("RGBA", (10, 10), (1, 2, 3, 255)).save(tmp_path / "a.png")
    assert not has_alpha(tmp_path / "a.png")


def test_pictures_in_memory_are_taken_and_left_alone():
    image = Image.new("RGBA", (10, 10), (1, 2, 3, 128))
    assert corner(load_image(image, background="black")) == (1, 1, 2) and image.mode == "RGBA"
