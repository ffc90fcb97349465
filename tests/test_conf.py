"""Every configuration composes, every constructor call in it names real arguments, and every experiment takes two steps."""

import inspect
import json
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class, get_method, instantiate
from omegaconf import OmegaConf

from moa.cli import CONF
from moa.training.loop import train
from moa.training_run import run
from moa.where import MoAAdapter
from moa.where.router import ROUTERS, Router

SMALL = [
    "train.batch_size=2",
    "train.max_minutes=null",
    "train.steps=2",
    "train.warmup_steps=1",
    "train.validate_every_minutes=null",
    "train.cpu=true",
    "train.precision=no",
]
MOA = ["data.size=32", "validation.size=32", "where.fusion_width=32", "objective.previews=1"]
MOA_EXPERIMENTS = [
    "single_branch",
    "single_branch_kept",
    "constant_router",
    "no_router_loss",
    "no_space_time",
    "no_position",
    "picture_background",
    "inner_routing",
    "paper_losses",
    "cross_only",
    "tiny_people",
]
BANK = ["data.path={out}/train.npy", "data.count=8", "objective.validation.path={out}/validation.npy", "objective.validation.count=8"]
PRIOR_EXPERIMENTS = {  # in the order in which one needs the other
    "tiny_clip": [*BANK, "objective.text_width=16", "objective.text_layers=1", "objective.image_width=16", "objective.image_layers=1", "objective.head_width=8", "objective.projection=16", "objective.vocabulary=600"],
    "tiny_autoencoder": [*BANK, "objective.autoencoder.channels=[8,8,8,8]", "objective.autoencoder.norm_groups=4", "objective.autoencoder.latent_channels=2", "train.export={out}/vae"],
    "tiny_latents": [*BANK, "objective.autoencoder.folder={out}/vae", "train.export={out}/vae"],
    "tiny_decoder": [*BANK, "objective.autoencoder.folder={out}/vae", "train.export={out}/vae"],
    "tiny_prior": [
        "data.bank.path={out}/train.npy", "data.bank.count=8", "data.autoencoder={out}/vae", "data.cache={out}/latents.npy", "objective.clip={out}/tiny_clip/export",
        "objective.validation.bank.path={out}/validation.npy", "objective.validation.bank.count=8", "objective.validation.cache={out}/latents_validation.npy",
        "objective.unet.channels=[8,16]", "objective.unet.head_width=8", "objective.unet.norm_groups=4", "objective.unet.latent_channels=2", "objective.unet.text_width=16", "+objective.sheet=4",
    ],
    "tiny_encoder": ["data.path={out}/references", "data.count=8", "objective.validation.path={out}/references_validation", "objective.validation.count=8", "objective.encoder.widths=[8,8,8,8]"],
    "reader": ["data.path={out}/read", "data.count=8", "objective.validation.path={out}/read_validation", "objective.validation.count=8"],
}  # fmt: skip
CHOICES = [
    f"{group}={path.stem}"
    for group in ("router", "subject")
    for path in sorted((CONF / group).glob("*.yaml"))
    if path.stem not in ("folder", "people", "mlp")
]


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides: str, name: str = "train"):
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config = compose(name, list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config


def targets(node, path=""):
    """Every node that is a constructor call, with its arguments."""
    if hasattr(node, "items"):
        if "_target_" in node:
            yield path, node
        for key in node:
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from targets(node[key], f"{path}.{key}")


def check_arguments(config) -> None:
    """The check of argument names that `_partial_` would put off."""
    for path, node in targets(config):
        made = get_method(node["_target_"]) if not node["_target_"].rsplit(".", 1)[-1][0].isupper() else get_class(node["_target_"])
        known = set(inspect.signature(made).parameters)
        given = set(node) - {"_target_", "_partial_", "_recursive_", "_convert_"}
        assert given <= known, f"{path}: {sorted(given - known)} are no arguments of {node['_target_']}"


def test_the_schema_of_the_train_node_is_the_signature_of_train():
    own = {"objective", "data", "out", "trackers", "resume", "identity"}
    assert set(composed().train) - {"_target_"} == set(inspect.signature(train).parameters) - own


def test_every_router_has_a_configuration_and_the_other_way_round():
    assert names("router") == sorted(ROUTERS)


@pytest.mark.parametrize("router", names("router"))
def test_router(router):
    config = composed(f"router={router}")
    check_arguments(config)
    made = instantiate(config.router)(16)
    assert isinstance(made, Router) and type(made) is ROUTERS[router]


@pytest.mark.parametrize("group", ["prior", "subject", "tracker"])
def test_groups(group):
    for name in names(group):
        check_arguments(composed(f"{group}={name}"))


@pytest.mark.parametrize("experiment", names("experiment"))
def test_experiments_compose(experiment):
    config = composed(f"experiment={experiment}")
    check_arguments(config)
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"python train.py experiment={experiment}" in text
    assert "cost:" in text.lower() and "last result" in text.lower()


@pytest.mark.parametrize("experiment", MOA_EXPERIMENTS)
def test_experiments_take_two_steps(experiment, model_folder, tmp_path):
    out = tmp_path / "run"
    run(
        composed(
            f"experiment={experiment}",
            f"prior.path={model_folder('sd15')}",
            f"out={out}",
            f"train.export={tmp_path / 'adapter'}",
            *SMALL,
            *MOA,
        )
    )
    assert (tmp_path / "adapter" / "moa_adapter.safetensors").is_file()
    assert (out / "metrics.json").is_file() and list((out / "sheets").glob("*.png")) and (out / "config.yaml").is_file()


def test_the_experiments_of_the_prior_take_two_steps_each_on_what_the_others_made(tmp_path):
    for experiment, changes in PRIOR_EXPERIMENTS.items():
        out = tmp_path / experiment
        words = [
            f"experiment={experiment}",
            f"out={out}",
            f"train.export={out}/export",
            *SMALL,
            *(word.format(out=tmp_path) for word in changes),
        ]
        run(composed(*words))
        assert json.loads((out / "metrics.json").read_text())["step"] == 2, experiment
    drawn = StableDiffusionPipeline.from_pretrained(tmp_path / "tiny_prior" / "export")("a person", num_inference_steps=1)
    assert drawn.images[0].size == (128, 128)


def test_every_experiment_takes_its_steps_in_a_test():
    assert sorted([*MOA_EXPERIMENTS, *PRIOR_EXPERIMENTS]) == names("experiment")


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_take_two_steps(choice, model_folder, tmp_path):
    run(composed(choice, "name=test", f"prior.path={model_folder('sd15')}", f"out={tmp_path / 'run'}", *SMALL, *MOA))
    again = MoAAdapter.from_pretrained(tmp_path / "run" / "export").config
    group, _, name = choice.partition("=")
    assert again.router == name if group == "router" else again.noun == composed(choice).noun == instantiate(composed(choice).data).noun


@pytest.mark.parametrize("name", [path.stem for path in sorted(Path(CONF).glob("*.yaml"))])
def test_command_lines_compose(name):
    check_arguments(composed(name=name))
