"""The embedded prior as others find it: a stock folder that stock diffusers opens and draws with, and small enough to travel."""

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from moa.training.objectives.prior import new_scheduler

ROOT = Path(__file__).parents[1]
TINY = ROOT / "models" / "tiny"
FILES = sorted(file for file in TINY.rglob("*") if file.is_file())


def test_stock_diffusers_draws_with_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    pipe = StableDiffusionPipeline.from_pretrained("models/tiny")
    assert type(pipe) is StableDiffusionPipeline
    pipe.set_progress_bar_config(disable=True)
    draw = dict(num_inference_steps=2, guidance_scale=3.0, output_type="np")
    first, second, other = (
        pipe(text, generator=torch.Generator().manual_seed(0), **draw).images[0]
        for text in ("a person by the sea", "a person by the sea", "a robot in the desert, at night")
    )
    assert first.shape == (128, 128, 3) and np.isfinite(first).all() and first.std() > 0.05
    assert np.array_equal(first, second) and np.abs(first - other).mean() > 0.01


def test_its_parts_are_public_classes():
    index = json.loads((TINY / "model_index.json").read_text())
    parts = {name: value for name, value in index.items() if isinstance(value, list) and value != [None, None]}
    libraries = {"diffusers": diffusers, "transformers": transformers}
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert set(parts) == {"vae", "unet", "text_encoder", "tokenizer", "scheduler", "image_encoder", "feature_extractor"}
    for name, (library, kind) in parts.items():
        assert kind in dir(libraries[library]) and not kind.startswith("_"), name
        assert (TINY / name).is_dir(), name


def test_it_is_drawn_as_its_own_experiment_would_have_it():
    """The noise levels it was trained on, and fresh noise in every step."""
    shipped, made = json.loads((TINY / "scheduler" / "scheduler_config.json").read_text()), new_scheduler()
    assert shipped["_class_name"] == type(made).__name__ == "DDPMScheduler"
    assert {name: value for name, value in shipped.items() if name[0] != "_"} == {
        name: made.config[name] for name in shipped if name[0] != "_"
    }


def test_it_is_small():
    sizes = {str(file.relative_to(ROOT)): file.stat().st_size for file in FILES}
    assert [name for name, size in sizes.items() if size > 16 * 2**20] == []
    assert sum(sizes.values()) <= 40 * 2**20, sum(sizes.values())


def test_its_weights_are_safetensors_and_nothing_in_it_can_run():
    kinds = {file.suffix for file in FILES}
    assert kinds <= {".safetensors", ".json", ".txt", ".md", ".png"}, kinds
    for part in ("unet", "vae", "text_encoder", "image_encoder"):
        assert list((TINY / part).glob("*.safetensors")), part


@pytest.mark.parametrize(("part", "dtype"), [("unet", "F16"), ("vae", "F16"), ("text_encoder", "F32")])
def test_precision_on_disk(part, dtype):
    """The text encoder in full: transformers opens it in the precision it finds, and it then feeds a UNet that diffusers opens in float32."""
    found = set()
    for file in (TINY / part).glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert found - {"I64"} == {dtype}
