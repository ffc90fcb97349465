"""Pictures in rows, with heads and labels."""

import numpy as np
from PIL import Image, ImageFont

from moa.pipelines.grid import PAPER, below, grid, wrapped

RED, BLUE = Image.new("RGB", (64, 32), (220, 40, 40)), Image.new("RGB", (20, 20), (40, 40, 220))


def where(page: Image.Image, picture: Image.Image) -> tuple[int, int, int, int]:
    """The box of a picture's colour: left, top, right, bottom."""
    same = np.all(np.asarray(page) == picture.getpixel((0, 0)), axis=-1)
    (top, bottom), (left, right) = (np.flatnonzero(same.any(axis))[[0, -1]] for axis in (1, 0))
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def test_pictures_of_any_size_fit_into_their_places():
    page = grid([[RED, BLUE]], tile=40, gap=10)
    assert page.size == (110, 60)
    assert where(page, RED) == (10, 20, 50, 40) and where(page, BLUE) == (60, 10, 100, 50)


def test_holes_stay_white_and_empty_rows_are_spaces():
    page = grid([[None, RED], [], [BLUE]], tile=40, gap=10)
    assert page.size == (110, 10 + 20 + 10 + 10 + 40 + 10) and page.getpixel((20, 20)) == PAPER
    assert where(page, RED) == (60, 10, 100, 30) and where(page, BLUE) == (10, 50, 50, 90)


def test_heads_and_labels_have_room_of_their_own():
    bare, page = grid([[RED, BLUE]], tile=40), grid([[RED, BLUE]], tile=40, columns=("a", "b"), labels=("a long label",))
    left, top, right, bottom = where(page, RED)
    assert (right - left, bottom - top) == (40, 20)
    beside, above = np.asarray(page)[:, : left - 1], np.asarray(page)[: where(page, BLUE)[1] - 1]
    assert page.width - bare.width > 50 and beside.min() < 100 and above.min() < 100


def test_captions_stand_below_their_pictures_in_lines_of_their_width():
    bare, page = (
        grid([[BLUE, BLUE], [BLUE]], tile=60),
        grid([[BLUE, BLUE], [BLUE]], tile=60, captions=[["a b", "one two three four five"], [""]]),
    )
    font = ImageFont.load_default(11)
    lines = wrapped("one two three four five", font, 60)
    assert len(lines) > 1 and " ".join(lines) == "one two three four five" and all(font.getlength(line) <= 60 for line in lines)
    assert wrapped("unbreakablelongword", font, 10) == ["unbreakablelongword"] and wrapped("", font, 10) == []
    assert page.height > bare.height + 11 * len(lines) and page.width == bare.width
    assert np.asarray(page)[12 + 60 : 12 + 60 + 11 * len(lines)].min() < 200


def test_labels_of_two_lines_are_as_wide_as_the_longer():
    one, two = (grid([[RED]], tile=40, labels=[label]) for label in ("cleo", "cleo\nbo"))
    assert one.width == two.width


def test_pages_one_below_the_other():
    page = below(RED, BLUE)
    assert page.size == (64, 32 + 20) and page.getpixel((60, 40)) == PAPER
    assert where(page, RED) == (0, 0, 64, 32) and where(page, BLUE) == (0, 32, 20, 52)
