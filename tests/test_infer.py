"""infer.py, from the words typed to the files written."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

import moa.infer
from moa.cli import CONF
from moa.drawing.sheets import title
from moa.infer import run
from moa.picture_files import free_path, read_settings, save
from moa.request import Request, read_request

ROOT = Path(__file__).parents[1]
BOTH = ("prompt=<alice> and <bob> in the snow, at night", "subjects.alice=img(1).png", "subjects.bob=b, c.jpg")
pytestmark = pytest.mark.filterwarnings("ignore:.*(may be missing|separate regions).*:UserWarning")


def opened(path) -> Image.Image:
    """A picture read whole, its file closed."""
    with Image.open(path) as image:
        image.load()
        return image


def pixels(path) -> np.ndarray:
    return np.asarray(opened(path).convert("RGB"))


def near(picture, other):
    """The same but for rounding: weights opened twice lie at other addresses, whose alignment chooses the CPU's kernels."""
    return np.abs(picture.astype(int) - other).max() <= 1


def test_pictures_are_saved_with_settings_and_routing(infer, people, tmp_path, capsys):
    files = infer(*BOTH, "count=2", "seed=7", "nouns.bob=dog", "negative_prompt=blurry, (dark)")
    assert [path.name for path in files] == ["seed_7.png", "seed_7.routing.png", "seed_8.png", "seed_8.routing.png"]
    assert capsys.readouterr().out.split("\n")[:-1] == [str(path) for path in files]
    said = read_settings(files[2])
    assert said["seed"] == 8 and said["steps"] == 2 and said["prompt"] == BOTH[0][7:] and said["negative_prompt"] == "blurry, (dark)"
    assert said["subjects"] == {"alice": "img(1).png", "bob": "b, c.jpg"} and said["nouns"] == {"bob": "dog"}
    assert said["prior"]["path"] == str(people["prior"]) and said["adapters"] == {"people": str(people["adapter"])}
    assert opened(files[0]).text["prompt"] == BOTH[0][7:] and "moa" in opened(files[0]).text["Software"]
    assert opened(files[1]).width > 2 * 384 and read_settings(files[3]) == said
    assert not np.array_equal(pixels(files[0]), pixels(files[2]))


def test_a_seed_gives_its_picture_again_and_overwrites_none(infer):
    first, _, second, _ = infer(*BOTH, "count=2")
    (again,) = infer(*BOTH, "seed=1", "overlay=false")
    assert again.name == "seed_1_2.png" and again.parent == first.parent
    assert np.abs(pixels(second).astype(int) - pixels(again)).max() <= 1  # sums of a batch round otherwise
    assert not np.array_equal(pixels(first), pixels(second))


def test_pictures_drawn_one_by_one_are_those_drawn_together(infer, caplog):
    caplog.set_level("INFO", "moa.infer")
    together = infer(*BOTH, "count=3", "batch_size=2", "overlay=false")
    assert [read_settings(path)["drawn_with"] for path in together] == [[0, 1], [0, 1], [2]]
    alone = infer(*BOTH, "count=3", "batch_size=1", "overlay=false")
    assert [line for line in caplog.messages if "a picture" in line][0].startswith("seeds 0 to 1 in ")
    for one, other in zip(together, alone, strict=True):
        assert np.abs(pixels(one).astype(int) - pixels(other)).max() <= 1


@pytest.mark.parametrize(
    ("sizes", "together"), [({}, 4), ({"height": 512, "width": 256}, 2), ({"height": 1024, "width": 1024}, 1), ({"batch_size": 5}, 5)]
)
def test_small_pictures_are_drawn_together(sizes, together):
    values = OmegaConf.to_container(OmegaConf.load(CONF / "infer.yaml"))
    values = {name: value for name, value in values.items() if name not in ("defaults", "hydra")} | sizes
    request = read_request(values | {"prior": {"path": "models/tiny", "dtype": "float32", "variant": None}})
    assert request.together(128) == together


def test_notes_name_the_seed_they_are_about(infer, caplog):
    infer(*BOTH, "routing.alice=[0,0,1,1]", "count=2", "seed=5", "overlay=false")
    said = [line for line in caplog.messages if "<alice> got" in line]
    assert [line[:27] for line in said] == ["note: seed 5: <alice> got 0", "note: seed 6: <alice> got 0"]


def test_too_little_memory_says_what_to_set(infer, monkeypatch):
    from moa.pipelines.sd import MoAStableDiffusionPipeline

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(MoAStableDiffusionPipeline, "__call__", full)
    with pytest.raises(ValueError, match=r"not enough to draw 2 at once.*set batch_size=1"):
        infer(*BOTH, "count=2")
    with pytest.raises(ValueError, match=r"draw 1 at once.*smaller height and width"):
        infer(*BOTH)


def test_without_subjects_the_prior_draws_alone_and_no_adapter_is_read(infer, people):
    (drawn,) = infer("prompt=a dog, in snow", "adapters.people=not there")
    from diffusers import StableDiffusionPipeline

    stock = StableDiffusionPipeline.from_pretrained(people["prior"])
    stock.set_progress_bar_config(disable=True)
    wanted = stock("a dog, in snow", num_inference_steps=2, guidance_scale=3.0, generator=torch.Generator().manual_seed(0)).images[0]
    assert near(pixels(drawn), np.asarray(wanted))


def test_scale_zero_is_the_prior_and_more_is_not(infer):
    plain = infer("prompt=a person in the snow", "overlay=false")[0]
    silent = infer("prompt=<alice> in the snow", "subjects.alice=img(1).png", "scale=0", "overlay=false")[0]
    loud = infer("prompt=<alice> in the snow", "subjects.alice=img(1).png", "overlay=false")[0]
    own = infer("prompt=<alice> in the snow", "subjects.alice=img(1).png", "scales.alice=0", "overlay=false")[0]
    assert near(pixels(plain), pixels(silent)) and near(pixels(plain), pixels(own))
    assert not near(pixels(plain), pixels(loud))


def test_boxes_masks_lists_and_embeddings_are_taken(infer, people, tmp_path):
    from moa import MoAPipeline

    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.load_moa(people["adapter"], "people")
    pipe.encode_subject(str(people["alice"])).save(tmp_path / "alice.safetensors")
    mask = Image.new("L", (16, 16))
    mask.paste(255, (8, 0, 16, 16))
    mask.save(tmp_path / "mask.png")
    routed = infer(*BOTH[:1], f"subjects.alice={tmp_path}/alice.safetensors", "subjects.bob=[img(1).png,\"b, c.jpg\"]",
                   "routing.alice=[0,0,8,16]", f"routing.bob={tmp_path}/mask.png", "overlay=false")  # fmt: skip
    learned = infer(*BOTH, "overlay=false")
    assert not np.array_equal(pixels(routed[0]), pixels(learned[0]))


def test_other_sizes_are_drawn(infer):
    assert opened(infer(*BOTH, "height=24", "width=40", "overlay=false")[0]).size == (40, 24)


def test_a_subject_turns_into_another(infer):
    one, other = "subjects.alice=img(1).png", "b, c.jpg"
    files = infer(*BOTH, f"morph.alice={other}", "stages=3", "seed=4", "batch_size=2")
    assert [path.name for path in files] == ["seed_4.png", "seed_4.stage_1.png", "seed_4.stage_2.png", "seed_4.stage_3.png"]
    assert opened(files[0]).width > 5 * 192 and read_settings(files[0])["morph"] == {"alice": other}
    assert [read_settings(path)["share"] for path in files[1:]] == [0, 0.5, 1]
    alone = [infer(BOTH[0], who, BOTH[2], "seed=4", "overlay=false")[0] for who in (one, f"subjects.alice={other}")]
    for stage, drawn in ((files[1], alone[0]), (files[3], alone[1])):  # the ends are the subjects themselves
        assert np.abs(pixels(stage).astype(int) - pixels(drawn)).max() <= 1
    assert not np.array_equal(pixels(files[2]), pixels(files[1])) and not np.array_equal(pixels(files[2]), pixels(files[3]))


def test_a_saved_subject_turns_into_another(infer, people, tmp_path):
    from moa import MoAPipeline

    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.load_moa(people["adapter"], "people")
    pipe.encode_subject(str(people["alice"])).save(tmp_path / "alice.safetensors")
    saved = infer(*BOTH[:1], f"subjects.alice={tmp_path}/alice.safetensors", BOTH[2], f"morph.alice={people['bob']}", "stages=2")
    again = infer(*BOTH, f"morph.alice={people['bob']}", "stages=2")
    assert near(pixels(saved[1]), pixels(again[1])) and opened(saved[0]).size == opened(again[0]).size


def test_layers_and_steps_are_shown_for_every_picture(infer, monkeypatch):
    from moa.drawing import pictures as drawing

    shown, make = [], drawing.layer_sheet
    monkeypatch.setattr(
        drawing,
        "layer_sheet",
        lambda routing, expert, *, name, row: shown.append((len(routing), expert, name, row)) or make(routing, expert, name=name, row=row),
    )
    files = infer(*BOTH, "layers=true", "overlay=false", "count=2")
    assert [path.name for path in files] == ["seed_0.png", "seed_0.layers.png", "seed_1.png", "seed_1.layers.png"]
    assert [read_settings(path)["seed"] for path in files] == [0, 0, 1, 1]
    maps = shown[0][0]  # of two steps
    assert shown == [(maps, 1, "adapter people", 0), (maps, 1, "adapter people", 1)] and opened(files[1]).height > maps // 2 * 56


def test_a_picture_without_its_subject_is_drawn_again_from_another_seed(infer, monkeypatch, caplog):
    """Two pictures, of which the second has no subject until its third try."""
    from moa.drawing import pictures as drawing

    real, calls = drawing.call, []

    def call(pipe, request, prompt, subjects, regions, seeds, names, say):
        answer, _ = real(pipe, request, prompt, subjects, regions, seeds, names, say)
        calls.append((list(seeds), list(names)))
        return answer, {i for i, seed in enumerate(seeds) if seed in (6, 8)}

    monkeypatch.setattr(drawing, "call", call)
    caplog.set_level("INFO")
    files = infer(*BOTH, "count=2", "seed=5", "retries=3")
    assert calls == [([5, 6], ["seed 5", "seed 6"]), ([8], ["seed 8"]), ([10], ["seed 10"])]
    assert [path.name for path in files] == ["seed_5.png", "seed_5.routing.png", "seed_10.png", "seed_10.routing.png"]
    assert read_settings(files[2])["seed"] == 10 and read_settings(files[2])["drawn_with"] == [10]
    assert "note: seed 6 is drawn again as seed 8" in caplog.messages


def test_the_last_try_is_kept_and_nothing_is_tried_unasked(infer, caplog):
    gone = (*BOTH, "routing.alice=[0,0,1,1]", "overlay=false")
    assert [path.name for path in infer(*gone, "count=2", "retries=1")] == ["seed_2.png", "seed_3.png"]
    assert sum("<alice> got" in line for line in caplog.messages) == 4
    assert [path.name for path in infer(*gone)] == ["seed_0.png"]


def test_without_arguments_a_sheet_of_the_examples_is_drawn(infer, people, tmp_path):
    examples = tmp_path / "examples"
    examples.mkdir()
    for name in ("ada", "bo", "cleo"):
        opened(people["alice"]).save(examples / f"{name}.png")
    (path,) = infer(f"showcase.examples={examples}", "showcase.tile=48")
    assert path.name == "showcase.png"
    image = opened(path)
    assert 48 * 5 < image.width < 48 * 8 and image.height > 48 * 4  # who, three scenes, where; three subjects and a pair
    named = ",".join(str(examples / f"{name}.png") for name in ("ada", "bo"))
    assert opened(infer(f"showcase.examples=[{named}]", "showcase.tile=48")[0]).height < image.height
    assert read_settings(path)["prompt"] is None


def test_the_schema_of_the_configuration_is_the_request():
    config = OmegaConf.load(CONF / "infer.yaml")
    assert {field.name for field in fields(Request)} == set(config) - {"defaults", "hydra"} | {"prior"}


def test_titles_leave_the_subjects_out():
    assert title("<a> and <b> at sunset") == "at sunset" and title("at night, <a>") == "at night"


def test_the_command_as_typed_in_bash(people, tmp_path):
    """The issue's own line, quotes and all, in a real shell."""
    line = f"""{sys.executable} {ROOT}/infer.py prompt="<alice> and <bob> in the snow, at night" "subjects.alice=img(1).png" subjects.bob="b, c.jpg" \
        prior={people["prior"]} adapters.people={people["adapter"]} steps=1 device=cpu out={tmp_path}/out"""
    done = subprocess.run(["bash", "-c", line], cwd=people["home"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{tmp_path}/out/seed_0.png", f"{tmp_path}/out/seed_0.routing.png"]
    assert "Traceback" not in done.stderr


def test_commands_in_the_same_second_draw_into_folders_of_their_own(people, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(moa.infer, "datetime", SimpleNamespace(now=lambda: datetime(2026, 1, 2, 3, 4, 5)))
    monkeypatch.setattr(moa.infer, "draw_all", lambda *given: [given[5]])
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config = compose("infer", ["prompt=a dog"])
    assert [run(config)[0].as_posix() for _ in range(2)] == [f"outputs/infer/2026-01-02_03-04-05{end}" for end in ("", "_2")]


def test_no_two_pictures_get_the_same_name(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda _: free_path(tmp_path, 3), range(8)))
    assert sorted(path.name for path in paths) == sorted(["seed_3.png", *(f"seed_3_{n}.png" for n in range(2, 9))])


def test_a_picture_that_cannot_be_saved_leaves_no_empty_file(tmp_path):
    path = free_path(tmp_path, 3)
    with pytest.raises(OSError, match="cannot write mode"):
        save(Image.new("F", (8, 8)), path, {"prompt": None})
    assert not list(tmp_path.iterdir())
