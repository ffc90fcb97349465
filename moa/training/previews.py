"""What an adapter in training draws: held-out subjects beside the prior's pictures from the same noise."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from moa.data.examples import SubjectExample
from moa.pipelines.grid import fit, grid
from moa.pipelines.overlay import spotlight
from moa.pipelines.pipeline import MoAPipeline

TILE = 192


def save_previews(path: Path, pipe: MoAPipeline, examples: Sequence[SubjectExample], *, steps: int = 20, guidance: float = 3.0) -> None:
    """A sheet, a row an example: its references, the picture it was taken from, the prior's, ours, and where the subjects are."""
    rows = []
    for number, example in enumerate(examples):
        subjects = {name: [Image.fromarray(p) for p in subject.pictures] for name, subject in example.subjects.items()}
        call = dict(num_inference_steps=steps, guidance_scale=guidance, output_type="pil", routing=regions(pipe, example))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an adapter in training may well lose a subject
            given = {name: pipe.encode_subject(subjects[name], subject.noun) for name, subject in example.subjects.items()}
            ours = pipe(example.prompt, subjects=given, output_routing=True, generator=seeded(pipe, number), **call)
            pipe.set_moa_scale(0.0)
            prior = pipe(example.prompt, subjects=given, generator=seeded(pipe, number), **call).images[0]
            pipe.set_moa_scale(1.0)
        maps = [found.cpu().numpy() for found in ours.subject_maps[0].values()]
        shown = [picture for pictures in subjects.values() for picture in pictures]
        drawn = fit(ours.images[0], TILE)
        rows.append([grid([shown], gap=0), Image.fromarray(example.image), prior, drawn, spotlight(drawn, maps)])
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(rows, tile=TILE, columns=("reference", "target", "prior", "adapter", "where")).save(path)


def regions(pipe: MoAPipeline, example: SubjectExample) -> dict[str, Image.Image] | None:
    """The example's masks at the size that is drawn, for an adapter that draws only where it is told to."""
    if not any(adapter.config.router == "mask" for adapter in pipe.moa_adapters.values()):
        return None
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    return {name: Image.fromarray(subject.mask).convert("L").resize((side, side)) for name, subject in example.subjects.items()}


def seeded(pipe: MoAPipeline, seed: int) -> torch.Generator:
    """A generator on the pipeline's device."""
    return torch.Generator(pipe.device).manual_seed(seed)
