"""Shared fixtures: small random models of every family, saved once; shape annotations executed."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jaxtyping import install_import_hook

if os.environ.get("MOA_TYPECHECK", "1") == "1":
    CHECKED = [
        "moa.diffusion",
        "moa.losses",
        "moa.where",
        "moa.prompt",
        "moa.data.world",
        "moa.data.examples",
        "moa.data.images",
        "moa.prior",
    ]
    CHECKED += [f"moa.training.{name}" for name in ("cpu", "ema", "latents", "numbers", "order", "subject_batch")]
    CHECKED += [f"moa.training.objectives.{name}" for name in ("autoencoder", "clip", "encoder", "moa", "prior")]
    _hook = install_import_hook(CHECKED, "beartype.beartype")

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from families import UNETS, save_pipeline
from people import infer, people  # noqa: F401

torch.set_num_threads(1)  # the models are tiny; two processes share the cores better than two threads
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="session", params=list(UNETS))
def family(request) -> str:
    """Each supported family in turn."""
    return request.param


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A function from a family's name to the folder of its small random model."""
    folders: dict[str, str] = {}

    def folder(name: str) -> str:
        if name not in folders:
            folders[name] = str(save_pipeline(name, tmp_path_factory.mktemp(name)))
        return folders[name]

    return folder


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A picture of 40 x 40 random pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
