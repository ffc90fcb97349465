"""The folder of the tiny prior: what stock `StableDiffusionPipeline.from_pretrained` opens, small enough to ship."""

import copy
import os
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from moa.training.objectives.clip import MEAN, STD
from moa.training.tokenizer import save_tokenizer

SHARD = "15MB"


def feature_extractor(size: int) -> CLIPImageProcessorPil:
    """What turns a picture into the image encoder's input."""
    return CLIPImageProcessorPil(
        size={"height": size, "width": size}, do_center_crop=False, image_mean=[MEAN] * 3, image_std=[STD] * 3, do_convert_rgb=True
    )


def save_folder(folder: Path, pipe: StableDiffusionPipeline, image_encoder: CLIPVisionModelWithProjection) -> None:
    """Saves UNet and VAE in float16, both encoders in float32; the folder appears at once, in place of an older one."""
    folder, temporary = Path(folder), Path(folder).with_name(f".{Path(folder).name}.new-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    half = StableDiffusionPipeline(
        vae=_half(pipe.vae),
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        unet=_half(pipe.unet),
        scheduler=pipe.scheduler,
        safety_checker=None,
        feature_extractor=feature_extractor(image_encoder.config.image_size),
        image_encoder=image_encoder,
        requires_safety_checker=False,
    )
    half.save_pretrained(temporary, safe_serialization=True, max_shard_size=SHARD)
    save_tokenizer(pipe.tokenizer, temporary / "tokenizer")
    for file in ("model_index.json", "feature_extractor/preprocessor_config.json"):
        name_processor(temporary / file)
    _put(temporary, folder)


def name_processor(file: Path) -> None:
    """Writes the processor's usual name: the one that every version of transformers knows, with torchvision or without."""
    file.write_text(file.read_text(encoding="utf-8").replace("CLIPImageProcessorPil", "CLIPImageProcessor"), encoding="utf-8")


def _half(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).to(torch.float16)


def _put(new: Path, folder: Path) -> None:
    """Replaces a folder; files that only the old one has (a card, say) stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in sorted(new.iterdir()):
        goal = folder / part.name
        if goal.is_dir():
            shutil.rmtree(goal)
        os.replace(part, goal)
    new.rmdir()
