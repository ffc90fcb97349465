"""Finding and loading a prior: an embedded model, a diffusers folder, or a hub id."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError

from moa.places import find_model
from moa.prior.families import FAMILIES
from moa.prior.prior import Prior


def family_of(path: str | Path):
    """The family's file for a diffusers folder or hub id, read off its model_index.json.

    Errors: ValueError for a folder that is none, an id that cannot be had, and a family that is not supported.
    """
    if Path(path).is_dir() and not (Path(path) / "model_index.json").is_file():
        raise ValueError(
            f"The folder {str(path)!r} holds no model_index.json; give a diffusers model folder (models/tiny is one) or a hub id."
        )
    index = _file(str(path), "model_index.json")
    try:
        found = json.loads(index.read_text()).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{str(index)!r} is damaged ({error}); fetch the model again.") from error
    for stock, family in FAMILIES.items():
        if found in (stock, f"MoA{stock}"):
            return family
    raise ValueError(f"{str(path)!r} is a {found}; moa works with {' and '.join(FAMILIES)}.")


def pixels_of(path: str | Path) -> int:
    """Side of the pictures that a prior draws by default, in pixels, read off its configuration files alone.

    Errors: ValueError as `family_of`.
    """
    place = find_model(path)
    family_of(place)
    with explained(path):
        unet, vae = (json.loads(_file(place, f"{part}/config.json").read_text()) for part in ("unet", "vae"))
        return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


def empty_unet(path: str | Path) -> UNet2DConditionModel:
    """A prior's UNet without its weights, on the meta device, read off its configuration alone.

    Errors: ValueError as `family_of`, and for a configuration that is none.
    """
    place = find_model(path)
    family_of(place)
    with explained(path), init_empty_weights():
        unet = UNet2DConditionModel.from_config(json.loads(_file(place, "unet/config.json").read_text()))
    unet.register_to_config(_name_or_path=str(path))
    return unet


def _file(place: str, name: str) -> Path:
    return Path(place) / name if Path(place).is_dir() else Path(_from_hub(place, name))


def _from_hub(repo_id: str, name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    if repo_id.count("/") != 1:
        raise ValueError(
            f"No model at {repo_id!r}: no such folder here, and a hub id has the form owner/name. Check the path; the command lines also know "
            "tiny, sd15, sd21 and sdxl."
        )
    try:
        return hf_hub_download(repo_id, name)
    except (HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"No model at {repo_id!r}: no such folder here, and as a hub id it gave: {reason}. Check the path, or the network."
        ) from error


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Whatever the libraries raise for a model that is incomplete or damaged, as one ValueError naming it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(
            f"The model {str(path)!r} cannot be opened: a file of it is missing or damaged ({reason}). Fetch it again."
        ) from error


def load_prior(path: str | Path, *, dtype: str = "float32", variant: str | None = None) -> Prior:
    """Load a prior for training: frozen, safetensors only.

    Errors: ValueError as `family_of`.
    """
    place = find_model(path)
    family = family_of(place)
    with explained(path):
        pipe = family.STOCK.from_pretrained(place, dtype=getattr(torch, dtype), variant=variant, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return Prior(pipe, family, name=str(path))
