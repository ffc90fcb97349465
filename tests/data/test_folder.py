"""Folders of pictures as training data."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from moa.data.folder import FolderSubjects, pictures_in
from moa.data.shots import cut, ellipse, enclosing, square_in
from moa.prompt.placeholders import names_in

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 60)


def paint(path, color=RED, size=(60, 40), mode="RGB", box=None):
    """A picture of a coloured box on grey, or on nothing with an alpha channel."""
    image = Image.new(mode, size, (0, 0, 0, 0) if mode == "RGBA" else (128, 128, 128))
    ImageDraw.Draw(image).rectangle(box or (20, 10, 39, 29), fill=(*color, 255) if mode == "RGBA" else color)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def paint_mask(path, box=(20, 10, 39, 29), size=(60, 40)):
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    mask.save(path)


@pytest.fixture
def dog(tmp_path):
    """Three pictures of one subject, told apart by their colour."""
    for name, color in (("a", RED), ("b", BLUE), ("c", GREEN)):
        paint(tmp_path / f"{name}.png", color)
    return tmp_path


def middle(picture):
    return tuple(int(v) for v in picture[picture.shape[0] // 2, picture.shape[1] // 2])


def test_reference_and_target_are_different_pictures_and_all_are_used(dog):
    data = FolderSubjects(dog, noun="dog", size=32, references=2)
    examples = [data[i] for i in range(40)]
    for example in examples:
        (subject,) = example.subjects.values()
        assert example.image.shape == (32, 32, 3) and example.image.dtype == np.uint8 and subject.mask.shape == (32, 32)
        assert len(subject.pictures) == 2 and middle(example.image) not in [middle(p) for p in subject.pictures]
        assert subject.noun == "dog" and names_in(example.prompt) == list(example.subjects)
    assert {middle(e.image) for e in examples} == {RED, BLUE, GREEN}
    assert len({e.prompt for e in examples}) > 3


def test_examples_are_pure_functions_of_seed_and_index(dog):
    one, same, other = (FolderSubjects(dog, noun="dog", size=16, seed=seed) for seed in (0, 0, 1))
    for i in range(5):
        assert np.array_equal(one[i].image, same[i].image) and one[i].prompt == same[i].prompt
    assert any(not np.array_equal(one[i].image, other[i].image) for i in range(8))
    with pytest.raises(IndexError):
        one[len(one)]


def test_masks_come_from_alpha_then_from_files_then_are_an_ellipse(tmp_path):
    paint(tmp_path / "alpha.png", mode="RGBA", size=(40, 40))
    paint(tmp_path / "beside.png", size=(40, 40))
    paint_mask(tmp_path / "beside.mask.png", size=(40, 40))
    paint(tmp_path / "none.png", size=(40, 40))
    assert [p.name for p in pictures_in(tmp_path)] == ["alpha.png", "beside.png", "none.png"]
    alpha, beside, none = FolderSubjects(tmp_path, noun="box", size=40).shots[0]
    assert alpha.exact and beside.exact and not none.exact
    wanted = np.zeros((40, 40), bool)
    wanted[10:30, 20:40] = True
    assert np.array_equal(alpha.mask, wanted) and np.array_equal(beside.mask, wanted)
    assert none.mask[20, 20] and not none.mask[0, 0] and abs(none.mask.mean() - np.pi / 4) < 0.02
    assert alpha.close_mask.mean() > 0.7 > alpha.mask.mean()  # a reference is cut close


def test_references_with_a_mask_stand_before_other_colours(tmp_path):
    for name in "ab":
        paint(tmp_path / f"{name}.png", mode="RGBA")
    data = FolderSubjects(tmp_path, noun="box", size=32)
    corners = [tuple(data[i].subjects["subject"].pictures[0][0, 0]) for i in range(30)]
    assert 8 <= sum(corner == (255, 255, 255) for corner in corners) <= 22  # as it was, transparency on white
    assert all(middle(data[i].subjects["subject"].pictures[0]) == RED for i in range(30))


def test_crop_follows_the_subject_and_whole_keeps_all(tmp_path):
    for name in "ab":
        paint(tmp_path / f"{name}.png", size=(80, 40), box=(60, 10, 79, 29))
        paint_mask(tmp_path / f"{name}.mask.png", box=(60, 10, 79, 29), size=(80, 40))
    crop = FolderSubjects(tmp_path, noun="box", size=40).shots[0][0]
    assert crop.mask[:, 20:].sum() == 400 and not crop.mask[:, :20].any()
    whole = FolderSubjects(tmp_path, noun="box", size=80, fit="whole").shots[0][0]
    assert whole.mask.sum() == 400 and (whole.image[:20] == 255).all() and (whole.image[60:] == 255).all()


def test_captions_beside_pictures_and_nouns_of_sub_folders(tmp_path):
    for who, noun in (("rex", "dog"), ("tom", None)):
        for name in "ab":
            paint(tmp_path / who / f"{name}.jpg")
        if noun:
            (tmp_path / who / "noun.txt").write_text(f"{noun}\n")
    (tmp_path / "rex" / "a.txt").write_text("<subject> asleep\non a sofa", encoding="utf-8")
    data = FolderSubjects(tmp_path, noun="cat", size=16, prompts=["a photo of <subject>"])
    found = {(data[i].prompt, data[i].subjects["subject"].noun) for i in range(20)}
    assert found == {("<subject> asleep on a sofa", "dog"), ("a photo of <subject>", "dog"), ("a photo of <subject>", "cat")}


def test_a_single_picture_is_used_with_a_warning(tmp_path):
    paint(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="single picture.*Add a second"):
        data = FolderSubjects(tmp_path, noun="dog", size=16, flip=False)
    assert len(data[0].subjects["subject"].pictures) == 1


def test_boxes():
    assert square_in((60, 40), (20, 10, 40, 30)) == (10, 0, 50, 40)
    assert square_in((60, 40), (0, 0, 4, 40)) == (0, 0, 40, 40)
    assert enclosing((20, 10, 40, 30)) == (20, 10, 40, 30)
    assert enclosing((0, 10, 40, 20)) == (0, -5, 40, 35)
    image, mask = cut(Image.new("RGB", (10, 10)), Image.new("L", (10, 10), 255), (-5, 0, 5, 10), 10)
    assert (image[:, :5] == 255).all() and (image[:, 5:] == 0).all() and not mask[:, :5].any() and mask[:, 5:].all()
    assert np.array_equal(np.asarray(ellipse((9, 5))), np.asarray(ellipse((9, 5)))[::-1, ::-1])


ERRORS = {
    "no folder": (lambda d: d / "none", {}, ["none", "does not exist", "check the path"]),
    "a file": (lambda d: paint(d / "a.png"), {}, ["a.png", "is a file", "folder"]),
    "empty folder": (lambda d: d, {}, ["There are no pictures in", "PNG, JPEG or WEBP"]),
    "empty sub-folder": (lambda d: (paint(d / "x/a.png"), (d / "y").mkdir(), d)[-1], {}, ["y'", "no pictures", "remove"]),
    "pictures and sub-folders": (lambda d: (paint(d / "a.png"), paint(d / "x/b.png"), d)[-1], {}, ["'x'", "sub-folder"]),
    "unreadable": (lambda d: ((d / "a.png").write_bytes(b"no"), d)[-1], {}, ["a.png", "no picture", "PNG"]),
    "format": (lambda d: ((d / "a.heic").write_bytes(b"no"), d)[-1], {}, ["a.heic", "HEIC", "save it as"]),
    "mask of another size": (lambda d: (paint(d / "a.png"), paint_mask(d / "a.mask.png", size=(50, 40)), d)[-1], {}, ["a.mask.png", "50 x 40", "60 x 40"]),
    "empty mask": (lambda d: (paint(d / "a.png"), Image.new("L", (60, 40)).save(d / "a.mask.png"), d)[-1], {}, ["a.mask.png", "without a white pixel"]),
    "caption": (lambda d: (paint(d / "a.png"), (d / "a.txt").write_text("a dog"), d)[-1], {}, ["a.txt", "'a dog'", "<subject>"]),
    "caption not utf-8": (lambda d: (paint(d / "a.png"), (d / "a.txt").write_bytes(b"\xff\xfe\x00"), d)[-1], {}, ["a.txt", "UTF-8"]),
    "empty noun file": (lambda d: (paint(d / "a.png"), (d / "noun.txt").write_text(" "), d)[-1], {}, ["noun.txt", "empty"]),
    "prompt": (lambda d: d, {"prompts": ["a dog"]}, ["'a dog'", "<subject>", "once"]),
    "noun": (lambda d: d, {"noun": " "}, ["noun=' '", "noun=dog"]),
    "fit": (lambda d: d, {"fit": "stretch"}, ["fit='stretch'", "'crop'", "'whole'"]),
    "size": (lambda d: d, {"size": 2}, ["size=2", "16 pixels"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_file_and_the_fix(case, tmp_path):
    prepare, changes, parts = ERRORS[case]
    with pytest.raises(ValueError) as error:
        FolderSubjects(prepare(tmp_path), **{"noun": "dog", **changes})
    assert all(part in str(error.value) for part in parts), str(error.value)
