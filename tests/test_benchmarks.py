"""The scripts in benchmarks/ run and print what they promise; what they measure is not looked at."""

import importlib.util
import json
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from moa.cli import CONF
from moa.where.recorder import Recorder

from families import LEVELS, UNETS

ROOT = Path(__file__).parents[1]
NUMBER = r"[-+]?\d+(?:\.\d+)?"


def script(name: str):
    """A benchmark as a module, its `main` not run."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def printed(capsys, monkeypatch):
    """A function that checks what was printed, line by line, against patterns in which N is a number and blanks are any."""
    monkeypatch.chdir(ROOT)

    def check(*patterns: str) -> None:
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert len(lines) == len(patterns), lines
        for line, pattern in zip(lines, patterns, strict=True):
            assert re.fullmatch(NUMBER.join(map(re.escape, pattern.split("N"))), line), line

    return check


def test_every_script_is_run_here():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {file.stem for file in (ROOT / "benchmarks").glob("*.py")} <= tested


def test_overhead(printed, monkeypatch):
    module, opened = script("overhead"), []
    own = Recorder.open
    monkeypatch.setattr(Recorder, "open", lambda self, *args: opened.append(self) or own(self, *args))
    monkeypatch.setitem(module.SHAPES, "tiny", LEVELS | UNETS["sd15"])
    monkeypatch.setattr(sys, "argv", ["overhead.py", "--repeats", "1"])
    module.main()
    title = f"tiny on cpu, float32, latents N x N, batch N (guidance), {torch.get_num_threads()} threads"
    printed(title, "time flops peak added weights", *(f"{name} Nx Nx Nx N %" for name in module.OPTIONS))
    unrecorded = {"mounted, no subject", "full, no recorder"}
    assert len({id(recorder) for recorder in opened}) == len(module.OPTIONS.keys() - unrecorded) and unrecorded <= module.OPTIONS.keys()


def test_overhead_has_the_shipped_settings():
    module = script("overhead")
    shipped = json.loads((ROOT / "models" / "tiny-people" / "moa_adapter.json").read_text())
    assert {name: shipped[name] for name in module.ADAPTER} == module.ADAPTER
    conf = OmegaConf.load(CONF / "where" / "moa.yaml")
    assert {name: conf[name] for name in ("tokens", "fusion_width")}.items() <= module.ADAPTER.items()
    with torch.device("meta"):
        random = dict(UNet2DConditionModel(**module.SHAPES["tiny"]).config)
    tiny = UNet2DConditionModel.load_config(ROOT / "models" / "tiny" / "unet")
    shape = {name: tuple(value) if isinstance(value, list) else value for name, value in tiny.items() if not name.startswith("_")}
    assert {name: random[name] for name in shape} == shape


def test_drawing(printed, monkeypatch):
    module = script("drawing")
    monkeypatch.setattr(module, "CALL", {"num_inference_steps": 1, "height": 32, "width": 32})
    module.main(1)
    printed(
        f"N s imports, load and the first picture ({torch.get_num_threads()} threads)",
        "N s a picture of the prior",
        "N s a picture with a subject, N times that",
        "N s a picture of four at a time, with overlays, N times that",
    )


def test_imports(printed, monkeypatch):
    """With lighter modules in the place of diffusers, which a fresh interpreter takes seconds to read."""
    module = script("imports")
    names = list(module.LINES)
    assert names == list(module.LINES.values()) and names[0] == "import moa"
    for line in names:
        exec(line, {})
    light = ["import moa", "import json", "import json.tool"]
    monkeypatch.setattr(module, "LINES", dict(zip(names, light, strict=True)))
    module.main(1)
    printed(*(f"N s {name}" for name in names), "N s MoAPipeline beyond diffusers' own pipeline, N times its import")


def test_locality(printed, monkeypatch):
    module = script("locality")
    monkeypatch.setattr(module, "STEPS", 2)
    module.main("models/tiny-people", 1)
    printed("learned drift N %", "confined drift N %", "confined / learned N, N people, models/tiny-people")


def test_world(printed, monkeypatch):
    """A small world, read without the workers, which every platform takes its time to start."""
    module = script("world")
    monkeypatch.setattr(
        module, "World", partial(module.World, size=32, identities=1, looks=2, kinds=("person",), count=(1,), weights=(1.0,))
    )
    monkeypatch.setattr(module, "DataLoader", lambda world, num_workers, **rest: DataLoader(world, **rest))
    module.main(17)
    printed(*(f"references {references} workers {workers} cold N/s warm N/s ratio N" for references in (0, 1) for workers in (1, 2)))
