"""From fields to pictures, with the embedded model: what is drawn, what is noted, what is refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moa.demo.draw import Given, cast_of, draw
from moa.picture_files import read_settings

EXAMPLES = Path(__file__).parents[2] / "models" / "tiny-people" / "examples"
CLEO, DEV = (Given(name, "", str(EXAMPLES / f"{name}.png")) for name in ("cleo", "dev"))


@pytest.fixture
def drawn(pipe, settings, tmp_path):
    return partial(draw, pipe, settings, tmp_path, seed=3, count=1, steps=2, guidance=3, scale=1)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_subjects_are_drawn_with_their_routing_and_the_files_remember_how(drawn):
    done = drawn(prompt="<cleo> and <dev> at sunset", given=[CLEO, DEV, Given()], count=2)
    assert [path.name for path in done.files] == ["seed_3.png", "seed_3.routing.png", "seed_4.png", "seed_4.routing.png"]
    assert [path.name for path in done.shown] == ["seed_3.routing.png", "seed_4.routing.png"]
    for path, seed in zip(done.files, (3, 3, 4, 4), strict=True):
        said = read_settings(path)
        assert said["seed"] == seed and said["steps"] == 2 and set(said["subjects"]) == {"cleo", "dev"} and said["nouns"] == {}


def test_without_a_subject_in_the_prompt_the_picture_is_the_models_own(drawn, pipe):
    done = drawn(prompt="a person by the sea", given=[CLEO, DEV])
    wanted = pipe("a person by the sea", num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator().manual_seed(3)).images[0]
    assert done.shown == done.files and np.array_equal(pixels(done.files[0]), np.asarray(wanted))
    assert done.notes == ["The prompt names no subject, so this is the model's own picture; write <cleo> or <dev> into it to draw one."]


def test_strength_is_each_drawings_own(drawn):
    own = drawn(prompt="a person by the sea", given=[])
    silent, loud = (drawn(prompt="<cleo> by the sea", given=[CLEO], scale=scale) for scale in (0, 1))
    assert own.notes == [] and np.array_equal(pixels(own.files[0]), pixels(silent.files[0]))
    assert not np.array_equal(pixels(loud.files[0]), pixels(silent.files[0]))


def test_a_noun_is_what_the_model_reads(drawn):
    boy, person = (drawn(prompt="<cleo> by the sea", given=[Given("cleo", noun, CLEO.picture)], scale=0) for noun in ("robot", ""))
    assert read_settings(boy.files[0])["nouns"] == {"cleo": "robot"} and not np.array_equal(pixels(boy.files[0]), pixels(person.files[0]))


def test_who_may_be_missing_is_noted(pipe, settings, tmp_path):
    from dataclasses import replace

    nowhere = replace(settings, prompt="<cleo>", subjects={"cleo": "x"}, routing={"cleo": [0, 0, 1, 1]})
    done = draw(pipe, nowhere, tmp_path, prompt="<cleo> at night", given=[CLEO, DEV], seed=5, count=1, steps=1, guidance=3, scale=1)
    assert done.notes[0] == "Left out, as the prompt does not name them: <dev>."
    assert done.notes[1].startswith("seed 5: <cleo> got 0")


REFUSED = {
    "no prompt": (" ", [CLEO], "The prompt is empty; write a scene"),
    "no name": ("<cleo>", [CLEO, Given("", "", DEV.picture)], "Subject 2 has a picture and no name"),
    "no picture": ("<cleo>", [Given("cleo")], "Subject 1, 'cleo', has no picture; give it one"),
    "no such name": ("<eve> at night", [CLEO], "names <eve>, of whom there is no picture"),
    "twice": ("<cleo>", [CLEO, CLEO], "Two subjects have the name 'cleo'"),
    "a name that is none": ("<cleo>", [Given("<cleo>", "", CLEO.picture)], "The name '<cleo>' of subject 1 cannot stand in a prompt"),
    "no image": ("<cleo>", [Given("cleo", "", __file__)], "is no picture that can be read here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case, drawn, tmp_path):
    prompt, given, says = REFUSED[case]
    with pytest.raises(ValueError) as refused:
        drawn(prompt=prompt, given=given)
    assert says in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"steps": 0}, "steps=0"),
        ({"scale": 1.5}, "scale=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"count": 0}, "count=0"),
        ({"guidance": None}, "guidance=None"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, says, drawn):
    with pytest.raises(ValueError, match=f"{says} cannot be used; give a"):
        drawn(prompt="a person", given=[], **wrong)


def test_names_and_nouns_are_taken_without_the_spaces_around_them():
    assert cast_of("<cleo>", [Given(" cleo ", " ", "a.png")]) == ([Given("cleo", "", "a.png")], [])
