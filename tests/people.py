"""A small prior and an adapter for it on disk, and infer.py's own path from words to files, for the tests that draw."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from moa import MoAAdapter, MoAPipeline
from moa.cli import CONF
from moa.infer import run, words_for_hydra

IMAGE_WIDTH = 24  # of the encoder in families.py


def save_adapter(pipe: MoAPipeline, folder: Path, *, noun: str = "person", router_bias: float = 0.0) -> Path:
    """An adapter with noise in every matrix, whose routers start at even odds."""
    torch.manual_seed(0)
    adapter = MoAAdapter.for_unet(pipe.unet, encoder="prior", image_width=IMAGE_WIDTH, prior="small", fusion_width=32, noun=noun)
    for name, tensor in adapter.state_dict().items():
        tensor.copy_(torch.randn(tensor.shape) * 0.2 if tensor.ndim > 1 else tensor if "router" not in name else tensor * 0 + router_bias)
    return adapter.save_pretrained(folder)


@pytest.fixture(scope="session")
def people(model_folder, tmp_path_factory) -> dict[str, Path]:
    """Paths: `prior`, `adapter`, `alice` (a PNG with an awkward name) and `bob` (a JPEG)."""
    home = tmp_path_factory.mktemp("people")
    Image.linear_gradient("L").resize((40, 48)).convert("RGB").save(home / "img(1).png")
    Image.radial_gradient("L").resize((64, 40)).convert("RGB").save(home / "b, c.jpg")
    prior = Path(model_folder("sd15"))
    adapter = save_adapter(MoAPipeline.from_pretrained(prior), home / "adapter")
    return {"prior": prior, "adapter": adapter, "alice": home / "img(1).png", "bob": home / "b, c.jpg", "home": home}


@pytest.fixture
def infer(people, tmp_path, monkeypatch):
    """A function from what a user types after `python infer.py` to the files drawn; prior, adapter and a short run are given."""
    monkeypatch.chdir(people["home"])

    def draw(*words: str) -> list[Path]:
        given = [f"prior={people['prior']}", f"adapters.people={people['adapter']}", f"out={tmp_path / 'out'}", "steps=2", "device=cpu"]
        typed = {word.partition("=")[0] for word in words}
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            config = compose("infer", words_for_hydra([word for word in given if word.partition("=")[0] not in typed] + list(words)))
        return run(config)

    return draw
