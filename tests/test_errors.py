"""Bad input of every kind: one table of what the user does and what the message must say; and no traceback from a shell."""

import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import typed
from PIL import Image, PngImagePlugin

import moa.drawing
from moa import MoAPipeline
from moa.pipelines import MoAStableDiffusionPipeline

from people import save_adapter

ROOT = Path(__file__).parents[1]
ALICE = ("prompt=<alice> in the snow", "subjects.alice=img(1).png")


# -- files that are wrong in one way each -----------------------------------------------------------------------------


def cut_short(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return target


def flip_a_bit(source: Path, target: Path) -> Path:
    data = bytearray(source.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    target.write_bytes(data)
    return target


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of that size: enough to see that it is too large."""
    facts = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + facts + struct.pack(">I", zlib.crc32(facts))
    return start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory) -> Path:
    """A folder of pictures and masks that cannot be used."""
    home = tmp_path_factory.mktemp("bad")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "webp"):
        noise.save(home / f"whole.{suffix}")
        cut_short(home / f"whole.{suffix}", home / f"cut.{suffix}")
    flip_a_bit(home / "whole.png", home / "flipped.png")
    noise.save(home / "animation.gif")
    (home / "gif.png").write_bytes((home / "animation.gif").read_bytes())
    (home / "empty.png").write_bytes(b"")
    (home / "words.png").write_text("not a picture")
    (home / "huge.png").write_bytes(png_header(10_000, 6_500))
    (home / "bomb.png").write_bytes(png_header(20_000, 19_000))
    Image.new("RGB", (4, 40)).save(home / "narrow.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(home / "clear.png")
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("note", "x" * 3_000_000, zip=True)
    noise.save(home / "chunk.png", pnginfo=chunk)
    Image.new("L", (16, 16), 255).save(home / "mask16.png")
    Image.new("L", (17, 16), 255).save(home / "mask17.png")
    Image.new("L", (16, 16)).save(home / "black.png")
    (home / "words.safetensors").write_text("not an embedding")
    (home / "file").write_text("in the way")
    for count in (1, 2):
        (home / f"examples{count}").mkdir()
        for i in range(count):
            noise.save(home / f"examples{count}" / f"{i}.png")
    return home


# -- what is seen before a model is loaded: words typed, parts of the message -----------------------------------------

SETTINGS = {
    "steps=abc": ["steps='abc'", "whole number", "1 to 1000"],
    "steps=0": ["steps=0", "1 to 1000"],
    "steps=2.5": ["steps=2.5", "whole number"],
    "steps=true": ["steps=True", "whole number"],
    "steps=null": ["steps=None", "whole number"],
    "steps=[1,2]": ["steps=[1, 2]", "whole number"],
    "count=0": ["count=0", "1 to"],
    "batch_size=0": ["batch_size=0", "1 to"],
    "seed=-1": ["seed=-1", "from 0"],
    "guidance=nan": ["guidance=nan", "0 to 100"],
    "guidance=-1": ["guidance=-1", "0 to 100"],
    "guidance=inf": ["guidance=inf", "0 to 100"],
    "height=100": ["height=100", "multiple of 8", "96 or 104"],
    "width=wide": ["width='wide'", "whole number"],
    "height=100000": ["height=100000", "8192"],
    "scale=1.5": ["scale=1.5", "0 to 1"],
    "scale=nan": ["scale=nan", "0 to 1"],
    "scales.alice=strong": ["scales.alice='strong'", "0 to 1"],
    "scales.carol=0.5": ["scales.carol", "known are alice, people"],
    "window=0.5": ["window=0.5", "[start,end]"],
    "window=[0.5,0.2]": ["window=[0.5, 0.2]", "start < end"],
    "window=[0,2]": ["window's end=2", "0 to 1"],
    "window=[0,x]": ["window's end='x'", "0 to 1"],
    "device=gpu": ["device='gpu'", "auto, cpu, cuda, mps"],
    "device=5": ["device=5", "auto, cpu, cuda, mps"],
    "prior.dtype=float8": ["prior.dtype='float8'", "float32, float16, bfloat16"],
    "prior.path=": ["prior.path is empty", "after the = sign"],
    "prior.variant=5": ["prior.variant=5", "text"],
    "overlay=maybe": ["overlay='maybe'", "true or false"],
    "out=": ["out is empty", "leave out= out"],
    "prompt=": ["prompt is empty", "leave prompt= out"],
    "prompt=  ": ["prompt is empty"],
    "subjects=5": ["subjects=5", "subjects.alice="],
    "subjects.alice=": ["subjects.alice is empty"],
    "subjects.alice=null": ["subjects.alice=None", "give text"],
    "subjects.alice=[]": ["subjects.alice", "empty list", "[a.png,b.png]"],
    "subjects.alice=[5]": ["subjects.alice=5", "is a number", "give text"],
    "subjects.bob=img(1).png": ["'bob'", "does not occur in the prompt", "<alice> in the snow", "write <bob>"],
    "nouns.carol=dog": ["nouns.carol", "not among the subjects (alice)"],
    "nouns.alice=": ["nouns.alice is empty"],
    "routing.carol=[0,0,8,8]": ["routing.carol", "not among the subjects"],
    "routing.alice=[0,0,8]": ["routing.alice=[0, 0, 8]", "four", "[left,top,right,bottom]"],
    "routing.alice=[0,0,8,nan]": ["routing.alice's bottom", "nan"],
    "routing.alice=5,6,7,8": ["routing.alice", "no picture at '5,6,7,8'"],
    "morph=b.png": ["morph='b.png'", "morph.alice="],
    "morph.carol=b.png": ["morph.carol", "not among the subjects (alice)"],
    "morph.alice=": ["morph.alice is empty"],
    "morph.alice=none.png": ["morph.alice", "no picture at 'none.png'"],
    "morph.alice=[img(1).png,img(1).png]": ["subjects.alice has 1 pictures and morph.alice has 2"],
    "stages=1": ["stages=1", "2 to 100"],
    "keep_context=maybe": ["keep_context='maybe'", "true or false"],
    "layers=maybe": ["layers='maybe'", "true or false"],
    "adapters.people=null": ["every adapter is left out", "adapters.people="],
    "adapters.people=": ["adapters.people is empty"],
    "showcase.scenes=[]": ["showcase.scenes=[]", "list of texts"],
    "showcase.scenes=snow": ["showcase.scenes='snow'", "list of texts"],
    'showcase.scenes=["in the snow"]': ["'in the snow'", "<a>"],
    'showcase.pairs=["<a> in the snow"]': ["'<a> in the snow'", "<a> and <b>"],
    "showcase.tile=5": ["showcase.tile=5", "32 to 1024"],
    "showcase=null": ["showcase=None", "showcase.examples="],
    "+nonsense=1": ["nonsense", "conf/infer.yaml"],
    "~guidance": ["guidance", "conf/infer.yaml"],
    "seed=${nothing}": ["nothing"],
}  # fmt: skip

PICTURES = {
    "none.png": ["no picture at", "none.png", "check the path"],
    "": ["is a folder", "one picture"],
    "empty.png": ["empty.png", "empty file"],
    "words.png": ["words.png", "no picture that can be read", "PNG, JPEG or WEBP"],
    "gif.png": ["gif.png", "PNG, JPEG or WEBP"],
    "animation.gif": ["animation.gif", "PNG, JPEG or WEBP"],
    "cut.png": ["cut.png", "damaged or cut short", "save the picture again"],
    "cut.jpg": ["cut.jpg", "damaged or cut short"],
    "cut.webp": ["cut.webp", "damaged or cut short"],
    "flipped.png": ["flipped.png", "damaged or cut short"],
    "huge.png": ["huge.png", "10000 x 6500", "64,000,000", "Scale it down"],
    "bomb.png": ["bomb.png", "more pixels than are read", "scale it down"],
    "narrow.png": ["narrow.png", "4 x 40", "8 x 8"],
    "clear.png": ["clear.png", "wholly transparent"],
    "chunk.png": ["chunk.png", "damaged", "save the picture again"],
    "none.safetensors": ["none.safetensors", "no file"],
}  # fmt: skip

EARLY = {
    "mask missing": (lambda bad: [*ALICE, f"routing.alice={bad}/none.png"], ["routing.alice", "none.png"]),
    "mask black": (lambda bad: [*ALICE, f"routing.alice={bad}/black.png"], ["routing.alice", "black.png", "white pixel"]),
    "second picture": (lambda bad: [*ALICE[:1], f"subjects.alice=[img(1).png,{bad}/cut.jpg]"], ["subjects.alice", "cut.jpg"]),
    "out is a file": (lambda bad: [*ALICE, f"out={bad}/file"], ["/file'", "Nothing can be written", "out="]),
    "out below a file": (lambda bad: [*ALICE, f"out={bad}/file/x"], ["/file/x'", "Nothing can be written"]),
    "out in /proc": (lambda bad: [*ALICE, "out=/proc/moa"], ["'/proc/moa'", "Nothing can be written"]),
    "layers of a morph": (lambda bad: [*ALICE, "morph.alice=b, c.jpg", "layers=true"], ["layers=true", "without morph"]),
    "layers without subjects": (lambda bad: ["prompt=a dog", "layers=true"], ["layers=true", "a prompt and subjects"]),
    "layers of a showcase": (lambda bad: ["layers=true"], ["layers=true", "a prompt and subjects"]),
    "retries of a morph": (lambda bad: [*ALICE, "morph.alice=b, c.jpg", "retries=2"], ["retries=2", "without morph"]),
    "retries without subjects": (lambda bad: ["prompt=a dog", "retries=1"], ["retries=1", "a prompt and subjects"]),
    "retries below none": (lambda bad: [*ALICE, "retries=-1"], ["retries=-1"]),
    "morph without a prompt": (lambda bad: ["morph.alice=b, c.jpg"], ["morph.alice", "add subjects.alice="]),
    "a name without a picture": (lambda bad: [ALICE[0] + " and <bob>", ALICE[1]], ["<bob>", "there is no picture", "subjects.bob=picture.png"]),
    "subjects without a prompt": (lambda bad: ALICE[1:], ["no prompt", '"prompt=<alice>']),
    "no examples": (lambda bad: [f"showcase.examples={bad}/none"], ["has 0", "showcase.examples="]),
    "one example": (lambda bad: [f"showcase.examples={bad}/examples1"], ["has 1", "two example pictures"]),
    "nothing to show": (lambda bad: ["adapters.people=null"], ["no prompt and no adapter"]),
}  # fmt: skip


def message_of(infer, words, tmp_path) -> str:
    with pytest.raises(ValueError) as error:
        infer(*words)
    assert not list(tmp_path.rglob("*.png")), "something was drawn"
    said = " ".join(str(error.value).split())
    assert len(said) < 900, said
    return said


def early(infer, words, parts, tmp_path, monkeypatch) -> None:
    def never(request):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(moa.drawing, "open_pipeline", never)
    said = message_of(infer, words, tmp_path)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize("word", SETTINGS)
def test_settings(word, infer, tmp_path, monkeypatch):
    key = word.partition("=")[0]
    early(infer, [w for w in ALICE if w.partition("=")[0] != key] + [word], SETTINGS[word], tmp_path, monkeypatch)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name, infer, bad, tmp_path, monkeypatch):
    early(infer, [ALICE[0], f"subjects.alice={bad}/{name}"], ["subjects.alice", *PICTURES[name]], tmp_path, monkeypatch)


@pytest.mark.parametrize("case", EARLY)
def test_before_the_model_is_loaded(case, infer, bad, tmp_path, monkeypatch):
    words, parts = EARLY[case]
    early(infer, words(bad), parts, tmp_path, monkeypatch)


def test_a_full_disk(infer, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_000_000))
    early(infer, ALICE, ["has 1 MB left", "16 are needed", "out="], tmp_path, monkeypatch)


# -- adapters and priors on disk --------------------------------------------------------------------------------------

WEIGHTS, CONFIG = "moa_adapter.safetensors", "moa_adapter.json"


def copy_of(folder: Path, target: Path) -> Path:
    """The folder with links for files, so that one of them can be replaced."""
    for file in folder.rglob("*"):
        if file.is_file():
            (target / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (target / file.relative_to(folder)).symlink_to(file)
    return target


def replaced(folder: Path, target: Path, name: str, make) -> Path:
    """A copy of a folder in which one file is what `make(original, new)` writes; None leaves it out."""
    copy_of(folder, target)
    (target / name).unlink()
    if make is not None:
        make(folder / name, target / name)
    return target


def edited(**changes):
    return lambda old, new: new.write_text(json.dumps(json.loads(old.read_text()) | changes))


def without(key):
    return lambda old, new: new.write_text(json.dumps({k: v for k, v in json.loads(old.read_text()).items() if k != key}))


ADAPTERS = {
    "weights missing": (WEIGHTS, None, [WEIGHTS, "incomplete"]),
    "config missing": (CONFIG, None, [CONFIG, "save_pretrained"]),
    "weights cut short": (WEIGHTS, cut_short, [WEIGHTS, "SHA-256", "Fetch the adapter again"]),
    "a bit flipped": (WEIGHTS, flip_a_bit, [WEIGHTS, "SHA-256", "Fetch the adapter again"]),
    "config cut short": (CONFIG, cut_short, [CONFIG, "damaged"]),
    "config not text": (CONFIG, lambda old, new: new.write_bytes(b"\xff\xfe\x01"), [CONFIG, "damaged"]),
    "config a list": (CONFIG, lambda old, new: new.write_text("[]"), [CONFIG, "no MoA adapter config", "list"]),
    "newer format": (CONFIG, edited(format_version=99), [CONFIG, "99", "Update moa-diffusion"]),
    "unknown entry": (CONFIG, edited(surprise=1), [CONFIG, "surprise"]),
    "missing entry": (CONFIG, without("encoder"), [CONFIG, "encoder"]),
    "unknown router": (CONFIG, edited(router="os.system"), ["os.system", "mlp", "Update moa-diffusion"]),
    "unknown router option": (CONFIG, edited(router_options={"depth": 9}), [CONFIG, "depth"]),
    "rank of a wrong kind": (CONFIG, edited(rank="many"), [CONFIG]),
    "another rank": (CONFIG, edited(rank=3), [WEIGHTS]),
    "another encoder": (CONFIG, edited(image_width=1024, sha256=None), [WEIGHTS, "1024"]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*has no sha256")
@pytest.mark.parametrize("case", ADAPTERS)
def test_adapters(case, infer, people, tmp_path):
    name, make, parts = ADAPTERS[case]
    folder = replaced(people["adapter"], tmp_path / "adapter", name, make)
    said = message_of(infer, [*ALICE, f"adapters.people={folder}"], tmp_path / "out")
    assert all(part in said for part in parts), said


def test_an_adapter_with_nan_or_of_another_prior(infer, people, tmp_path, monkeypatch):
    from experts import make_adapter, make_unet

    pipe = MoAPipeline.from_pretrained(people["prior"])
    save_adapter(pipe, tmp_path / "nan", router_bias=float("nan"))
    said = message_of(infer, [*ALICE, f"adapters.people={tmp_path}/nan"], tmp_path / "out")
    assert "NaN" in said and "router" in said and "earlier checkpoint" in said
    make_adapter(make_unet("sd21")).save_pretrained(tmp_path / "other")
    monkeypatch.setattr(MoAPipeline, "from_pretrained", lambda *_, **__: pytest.fail("the prior was loaded"))
    said = message_of(infer, [*ALICE, f"adapters.people={tmp_path}/other"], tmp_path / "out")
    assert "'test'" in said and "structure" in said and "Set adapters.people= to one" in said


def test_adapters_that_are_not_there_or_cannot_be_told_apart(infer, people, tmp_path):
    said = message_of(infer, [*ALICE, f"adapters.people={tmp_path}/none"], tmp_path / "out")
    assert "/none'" in said and "no such folder" in said
    said = message_of(infer, [*ALICE, f"adapters.pets={people['adapter']}"], tmp_path / "out")
    assert "Several adapters" in said and "people (person)" in said and "nouns.alice=" in said


PRIORS = {
    "no index": ("model_index.json", None, ["model_index.json", "diffusers model folder"]),
    "index cut short": ("model_index.json", cut_short, ["model_index.json", "damaged"]),
    "another family": ("model_index.json", edited(_class_name="FluxPipeline"), ["FluxPipeline", "StableDiffusionPipeline"]),
    "weights missing": ("unet/diffusion_pytorch_model.safetensors", None, ["cannot be opened", "Fetch it again"]),
    "weights cut short": ("unet/diffusion_pytorch_model.safetensors", cut_short, ["cannot be opened", "Fetch it again"]),
    "encoder cut short": ("text_encoder/model.safetensors", cut_short, ["cannot be opened", "Fetch it again"]),
    "config cut short": ("vae/config.json", cut_short, ["cannot be opened", "Fetch it again"]),
    "no image encoder": ("model_index.json", edited(image_encoder=[None, None]), ["no", "image encoder"]),
}  # fmt: skip


@pytest.mark.parametrize("case", PRIORS)
def test_priors(case, infer, people, tmp_path):
    name, make, parts = PRIORS[case]
    folder = replaced(people["prior"], tmp_path / "prior", name, make)
    said = message_of(infer, [*ALICE, f"prior={folder}"], tmp_path / "out")
    assert all(part in said for part in parts), said


def test_a_prior_that_is_not_there(infer, tmp_path):
    for name in (f"{tmp_path}/none", "nobody/nothing", "not a name"):
        said = message_of(infer, [*ALICE, f"prior={name}"], tmp_path / "out")
        assert name in said and "no such folder" in said


# -- what needs the tokenizer or the picture's size: still before the first step --------------------------------------

CALLS = {
    "name without a picture": ({"prompt": "<alice> and <bob>"}, ["<bob>", "subjects={'bob': image}"]),
    "subject not in the prompt": ({"prompt": "a dog"}, ["'alice'", "Write <alice>"]),
    "empty prompt": ({"prompt": " "}, ["The prompt is empty", "<alice> in the snow"]),
    "no prompt": ({"prompt": None}, ["need a prompt"]),
    "past the token limit": ({"prompt": "a dog in the snow at night " * 15 + "<alice>"}, ["<alice> is token", "reads 75", "shorten"]),
    "runs into the text": ({"prompt": "<alice>s in the snow"}, ["<alice> runs into", "space"]),
    "negative prompt": ({"negative_prompt": "<alice>"}, ["negative prompt", "<alice>"]),
    "clip_skip": ({"clip_skip": 1}, ["clip_skip=1", "last layer", "Leave clip_skip out"]),
    "output_routing": ({"output_routing": "all"}, ["output_routing='all'", "'full'"]),
    "subjects for other prompts": ({"prompt": ["<alice>"] * 3, "subjects": [{}, {}]}, ["2 dicts", "3 prompts"]),
    "a number as a subject": ({"subjects": {"alice": 5}}, ["'alice'", "int", "PIL image"]),
    "an array as a subject": ({"subjects": {"alice": np.zeros((8, 8, 3))}}, ["'alice'", "ndarray", "PIL image"]),
    "an empty list": ({"subjects": {"alice": []}}, ["empty list"]),
    "an embedding with NaN": ("nan", ["'alice'", "NaN"]),
    "an embedding of another encoder": ("foreign", ["'dino' (width 7)", "'prior' (width 24)", "encode_subject"]),
    "an embedding of another width": ("narrow", ["'prior' (width 7)", "'prior' (width 24)", "encode_subject"]),
    "an embedding for another adapter": ("adapter", ["'pets'", "people"]),
    "a mask of another size": ({"routing": {"alice": Image.new("L", (17, 16), 255)}}, ["routing['alice']", "17 x 16", "16 x 16", "resize"]),
    "an array of another size": ({"routing": {"alice": np.ones((16, 17))}}, ["routing['alice']", "17 x 16", "16 x 16", "resize"]),
    "a tensor of another size": ({"routing": {"alice": torch.ones(8, 16)}}, ["routing['alice']", "16 x 8", "16 x 16", "resize"]),
    "a mask with NaN": ({"routing": {"alice": np.full((16, 16), np.nan)}}, ["routing['alice']", "0..1", "nan"]),
    "a mask above 1": ({"routing": {"alice": np.full((16, 16), 7.0)}}, ["routing['alice']", "0..1", "7"]),
    "a box outside": ({"routing": {"alice": (0, 0, 17, 8)}}, ["routing['alice']", "right <= 16"]),
    "a box inside out": ({"routing": {"alice": (8, 0, 4, 8)}}, ["routing['alice']", "left < right"]),
    "a region of a wrong kind": ({"routing": {"alice": 5}}, ["routing['alice']", "int", "box"]),
    "a region of nobody": ({"routing": {"carol": (0, 0, 8, 8)}}, ["'carol'", "alice"]),
    "routing without subjects": ({"prompt": "a dog", "subjects": None, "routing": {"alice": (0, 0, 8, 8)}}, ["'alice'", "subjects="]),
}  # fmt: skip


@pytest.fixture(scope="module")
def pipe(people) -> MoAStableDiffusionPipeline:
    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.set_progress_bar_config(disable=True)
    pipe.load_moa(people["adapter"], "people")
    return pipe


@pytest.mark.parametrize("case", CALLS)
def test_calls(case, pipe, people, monkeypatch):
    changes, parts = CALLS[case]
    picture = Image.new("RGB", (40, 40), "red")
    if isinstance(changes, str):
        good = pipe.encode_subject(picture)
        wrong = {
            "nan": replace(good, features=good.features * torch.nan),
            "foreign": replace(good, encoder="dino", features=good.features[..., :7]),
            "narrow": replace(good, features=good.features[..., :7]),
            "adapter": replace(good, adapter="pets"),
        }
        changes = {"subjects": {"alice": wrong[changes]}}
    monkeypatch.setattr(pipe.unet, "forward", lambda *args, **kwargs: pytest.fail("a step was run"))
    with pytest.raises(ValueError) as error:
        pipe(**{"prompt": "<alice> in the snow", "subjects": {"alice": picture}, "num_inference_steps": 1, **changes})
    assert all(part in str(error.value) for part in parts), str(error.value)


@pytest.mark.filterwarnings("ignore::moa.where.presence.PresenceWarning")
def test_a_scale_for_nobody_is_said_aloud(people):
    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.set_progress_bar_config(disable=True)
    pipe.load_moa(people["adapter"], "people")
    pipe.set_moa_scale({"alcie": 0.5, "people": 0.5})
    with pytest.warns(UserWarning, match="strength for 'alcie', which is no subject of this call and no adapter; did you mean 'alice'?"):
        pipe("<alice>", subjects={"alice": str(people["alice"])}, num_inference_steps=1, routing={"alice": (0, 0, 16, 16)})


def test_a_folder_with_an_adapter_that_is_not_loaded_is_not_written_to(people, tmp_path):
    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.load_moa(people["adapter"], "people")
    pipe.save_pretrained(tmp_path / "model")
    pipe.save_pretrained(tmp_path / "model")
    pipe.unload_moa()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")}
    with pytest.raises(ValueError, match="already holds the adapter 'people', which this pipeline has not loaded"):
        pipe.save_pretrained(tmp_path / "model")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "model").rglob("*")} == before


METHODS = {
    "scale": (lambda p: p.set_moa_scale(2), ["2", "0 (the prior alone) to 1"]),
    "scale by name": (lambda p: p.set_moa_scale({"alice": "much"}), ["'much'", "'alice'"]),
    "scale NaN": (lambda p: p.set_moa_scale(float("nan")), ["nan", "0 (the prior alone) to 1"]),
    "window": (lambda p: p.set_moa_scale(1.0, window=(0.5, 0.5)), ["(0.5, 0.5)", "start < end"]),
    "window a number": (lambda p: p.set_moa_scale(1.0, window=0.5), ["window=0.5", "(start, end)"]),
    "window of three": (lambda p: p.set_moa_scale(1.0, window=(0.0, 0.5, 1.0)), ["window=(0.0, 0.5, 1.0)", "(start, end)"]),
    "adapter's name taken": (lambda p: p.load_moa(p.config_path, "people"), ["'people'", "already loaded"]),
    "adapter's name": (lambda p: p.load_moa(p.config_path, "my people"), ["'my people'", "plain name"]),
    "unknown adapter": (lambda p: p.encode_subject(Image.new("RGB", (40, 40)), adapter="pets"), ["'pets'", "people"]),
    "no picture": (lambda p: p.encode_subject("none.png"), ["none.png", "check the path"]),
}  # fmt: skip


@pytest.mark.parametrize("case", METHODS)
def test_methods(case, pipe, people):
    do, parts = METHODS[case]
    pipe.__dict__["config_path"] = people["adapter"]
    with pytest.raises(ValueError) as error:
        do(pipe)
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_subjects_without_an_adapter(people):
    bare = MoAPipeline.from_pretrained(people["prior"])
    with pytest.raises(ValueError, match="no adapter is loaded; call load_moa"):
        bare("<alice>", subjects={"alice": str(people["alice"])})
    with pytest.raises(ValueError, match="No adapter is loaded"):
        bare.encode_subject(str(people["alice"]))


def test_a_word_that_the_prior_knows_needs_no_picture(infer, people, tmp_path):
    """As one saved with a textual inversion."""
    pipe = MoAPipeline.from_pretrained(people["prior"])
    pipe.tokenizer.add_tokens("<cat-toy>")
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
    pipe.save_pretrained(tmp_path / "knowing")
    assert len(infer("prompt=a <cat-toy> in the snow", f"prior={tmp_path}/knowing", "steps=1")) == 1


def test_a_subject_file_that_is_none(infer, bad, tmp_path):
    said = message_of(infer, [ALICE[0], f"subjects.alice={bad}/words.safetensors"], tmp_path)
    assert "words.safetensors" in said and "no subject embedding" in said


# -- the command line -------------------------------------------------------------------------------------------------

SHELL = {
    "a word too many": (["infer.py", "prompt=a", "dog"], ["'dog'", "quotes"]),
    "a typo": (["infer.py", "promt=a dog"], ["'promt'", "did you mean prompt="]),
    "a missing picture": (["infer.py", "prompt=<alice> (1)", "subjects.alice=no (2).png"], ["subjects.alice", "'no (2).png'"]),
    "no prior": (["infer.py", "prompt=a dog", "prior=no/where at all", "device=cpu", "out=OUT"], ["no/where at all", "no such folder"]),
    "a typo within": (["infer.py", "prior.pth=x"], ["no setting prior.pth", "did you mean prior.path=?"]),
    "a typo within training": (["train.py", "train.step=3", "out=OUT"], ["no setting train.step", "did you mean train.steps=?"]),
    "a setting within": (["train.py", "steps=3", "out=OUT"], ["'steps'", "did you mean train.steps=?"]),
    "nothing to train on": (["train.py", "subject=folder", "out=OUT"], ["not given", "noun= (what the subject is", "data.path= (the folder"]),
    "no prior to train on": (["train.py", "prior=sd51", "out=OUT"], ["'sd51'", "no such folder", "sd15"]),
    "no pictures to train on": (["train.py", "subject=folder", "noun=dog", "data.path=none", "data.size=64", "out=OUT"], ["'none'", "does not exist"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SHELL)
def test_the_command_line_says_it_in_one_paragraph_and_ends_with_2(case, tmp_path, capfd):
    (script, *words), parts = SHELL[case]
    assert typed(script, [word.replace("OUT", str(tmp_path / "out")) for word in words], tmp_path) == 2
    lines = capfd.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("error: ")]
    assert len(said) == 1 and not any("Traceback" in line for line in lines), lines
    assert all(part in said[0] for part in parts), said[0]
    assert not (tmp_path / "out").exists(), "an empty folder is left"


def test_so_does_the_script_itself(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "infer.py", "prompt=a", "dog"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: 'dog' is no setting") and done.stderr.count("\n") == 1, done.stderr
