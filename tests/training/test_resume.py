"""A run that is stopped and resumed equals one that never was, bit for bit, whatever it trains."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from moa.cli import CONF
from moa.evaluation.attributes import HEADS
from moa.training import checkpoint
from moa.training.bank import Bank, Captioned
from moa.training.latents import Latents, LatentText
from moa.training.loop import train
from moa.training.objectives.autoencoder import AutoencoderObjective, new_autoencoder, trained_autoencoder
from moa.training.objectives.clip import new_clip
from moa.training.objectives.encoder import EncoderObjective, new_encoder
from moa.training.objectives.prior import PriorObjective, new_unet
from moa.training.references import Reference
from moa.where.router import ROUTERS

CAPTIONS = ("a person in the snow", "a green robot at night", "two plants", "a person with glasses")
COUNT = 10
Built = tuple[nn.Module, Dataset]


class Pictures(Bank):
    """Random pictures of 32 x 32 with captions."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.images = torch.randint(0, 256, (COUNT, 3, 32, 32), generator=generator, dtype=torch.uint8)
        self.captions = [CAPTIONS[i % len(CAPTIONS)] for i in range(COUNT)]

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Captioned:
        return Captioned(self.images[index], self.captions[index])


class RandomLatents(Latents):
    """Random latents of 2 x 16 x 16 with captions."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(6)
        self.latents = torch.randn(COUNT, 2, 16, 16, generator=generator).half()
        self.captions = Pictures().captions

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> LatentText:
        return LatentText(self.latents[index], self.captions[index])


class Labelled(Dataset[Reference]):
    """The same pictures with numbers for words."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Reference:
        return Reference(Pictures().images[index].numpy(), np.full(len(HEADS), index % 2, np.int16))


def autoencoder(folder: Path) -> Built:
    model = new_autoencoder(channels=(8, 8), latent_channels=2, layers=1, norm_groups=4, size=32)
    return AutoencoderObjective(model, validation=Pictures(), crop=16, edge_weight=0.5, kl_weight=1e-4), Pictures()


def decoder(folder: Path) -> Built:
    """As the autoencoder goes on from a trained one, whose encoder it keeps."""
    model = trained_autoencoder(folder / "vae")
    return AutoencoderObjective(model, validation=Pictures(), crop=16, edge_weight=0.5, kl_weight=0.0, decoder_only=True), Pictures()


def clip(folder: Path) -> Built:
    objective = new_clip(
        captions=Pictures(), validation=Pictures(), vocabulary=600, text_width=16, text_layers=1, image_width=16,
        image_layers=1, head_width=8, projection=16, size=32, patch=8,
    )  # fmt: skip
    return objective, Pictures()


def prior(folder: Path) -> Built:
    unet = new_unet(channels=(8, 16), head_width=4, norm_groups=4, latent_channels=2, size=16, text_width=16)
    parts = dict(clip=folder / "clip", autoencoder=folder / "vae", empty_share=0.5, guidance=2.0)
    return PriorObjective(unet, validation=RandomLatents(), **parts), RandomLatents()


def encoder(folder: Path) -> Built:
    data = Labelled()
    return EncoderObjective(new_encoder(widths=(8, 16), depths=(1, 1)), data=data, validation=data), data


def moa(folder: Path, *words: str) -> Built:
    given = [f"prior.path={folder / 'prior'}", f"data.path={folder / 'photos'}", "noun=dog", "where.fusion_width=32", "data.size=16"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF.resolve())):
        config = compose("train", overrides=["subject=folder", "name=test", *given, *words])
    return instantiate(config.objective), instantiate(config.data)


# every kind of training by name: what builds its objective and data
KINDS: dict[str, Callable[[Path], Built]] = {
    "autoencoder": autoencoder,
    "decoder": decoder,
    "clip": clip,
    "prior": prior,
    "encoder": encoder,
    "moa low rank": lambda folder: moa(folder, "where.branch=lowrank"),
    **{f"moa {router}": lambda folder, router=router: moa(folder, f"router={router}") for router in sorted(ROUTERS)},
}
RECIPE = dict(batch_size=2, learning_rate=1e-2, steps=4, schedule="cosine", ema_decay=0.9, weight_decay=0.1, cpu=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_folder) -> Path:
    """What the kinds are built on: a prior, photos, a CLIP and an autoencoder."""
    home = tmp_path_factory.mktemp("kinds")
    (home / "prior").symlink_to(model_folder("sd15"))
    (home / "photos").mkdir()
    noise = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(home / "photos" / f"{i}.png")
    torch.manual_seed(0)
    clip(home)[0].export(home / "clip")
    with torch.no_grad():
        autoencoder(home)[0].export(home / "vae")
    return home


def session(build: Callable[[Path], Built], folder: Path, out: Path, *, seed: int, stop: int, resume: str) -> None:
    """One session of a run, as in a process of its own: built anew, and left as it is after step `stop`; every second step is saved."""
    torch.manual_seed(seed)
    objective, data = build(folder)
    reports = train(objective, data, out=out, checkpoint_every=2, resume=resume, **RECIPE)
    for report in reports:
        if report.step == stop:
            reports.close()
            break


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_resumes_to_the_same_bits(kind: str, folder: Path, tmp_path: Path) -> None:
    """The first session loses a step; the second starts from other random weights, and must not keep any."""
    build = KINDS[kind]
    session(build, folder, tmp_path / "whole", seed=0, stop=4, resume="none")
    for seed, stop in enumerate((3, 4)):
        session(build, folder, tmp_path / "cut", seed=seed, stop=stop, resume="latest")
    whole, cut = (checkpoint.load(checkpoint.latest(tmp_path / name / "checkpoints")) for name in ("whole", "cut"))
    assert whole.state["step"] == cut.state["step"] == 4
    assert whole.tensors.keys() == {"trainable", "average", "optimizer"}
    for group, tensors in whole.tensors.items():
        odd = [name for name, tensor in tensors.items() if not torch.equal(tensor, cut.tensors[group][name])]
        assert not odd, f"{group}: {len(odd)} of {len(tensors)} differ, such as {odd[0]}"
