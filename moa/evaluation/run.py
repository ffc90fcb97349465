"""One evaluation from its settings to its report."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from moa.device import find_device
from moa.evaluation.ablations import write_ablations
from moa.evaluation.measure import Measurement, measure_adapter, measure_autoencoder, measure_prior, measure_reader
from moa.evaluation.painters import Picture, PipelinePainter, as_array
from moa.evaluation.protocol import Case
from moa.evaluation.reader import Reader, as_tensor
from moa.evaluation.report import write_report
from moa.evaluation.settings import Settings
from moa.pipelines import MoAPipeline
from moa.pipelines.checks import check_fit, check_keep
from moa.places import find_model
from moa.where import MoAAdapter
from moa.where.router import ROUTERS

log = logging.getLogger("moa.evaluation")
MEASURED = "person"  # the noun of the subjects in `protocol`


def evaluate(settings: Settings, out: Path, *, command: str) -> Path:
    """Measures, writes, and gives the path of the report."""
    if settings.what == "ablations":
        write_ablations(settings.runs, out / "ablations.md", command=command)
        return out / "ablations.md"
    settings = settings.sized()
    adapter = open_adapter(settings.adapter, settings.keep_context) if settings.what == "adapter" else None
    measured = measure(settings, adapter)
    write_report(out, settings.what, settings.title, measured, settings.facts(command), examples=settings.examples, seeds=settings.seeds)
    for row in measured.rows:
        log.info(
            "%s / %s: %s",
            row.group,
            row.name,
            "–"
            if row.value.value != row.value.value
            else f"{row.value.value:.4f}  {row.value.low:.4f}..{row.value.high:.4f}  n={row.value.count}",
        )
    return out / "report.html"


def measure(settings: Settings, adapter: MoAAdapter | None = None) -> Measurement:
    """The numbers of one evaluation; `adapter` is what is measured, if it is one."""
    device = find_device(settings.device)
    reader = Reader.from_pretrained(find_model(settings.reader)).to(device)
    if settings.what == "reader":
        return measure_reader(reader, people=settings.people, pairs=settings.pairs)
    pipe = open_pipeline(settings, adapter, device)
    if settings.what == "autoencoder":
        return measure_autoencoder(reader, Reconstruction(pipe, settings.batch_size), people=settings.people, pairs=settings.pairs)
    prior, personal = (
        PipelinePainter(pipe, personal, settings.steps, settings.guidance, settings.batch_size, settings.keep_context)
        for personal in (False, True)
    )
    if settings.what == "prior":
        return measure_prior(reader, prior, people=settings.people, pairs=settings.pairs, diverse=settings.diverse, seeds=settings.seeds)
    return measure_adapter(
        reader, personal, prior, people=settings.people, pairs=settings.pairs, diverse=settings.diverse, seeds=settings.seeds
    )


def open_adapter(path: str, keep_context: bool = False) -> MoAAdapter:
    """The adapter to be measured, before any model is opened.

    Errors: ValueError for one of other subjects than people, one that draws only where it is told to, and one that cannot keep the context.
    """
    adapter = MoAAdapter.from_pretrained(find_model(path))
    noun, router = adapter.config.noun, adapter.config.router
    if noun != MEASURED:
        raise ValueError(
            f"adapter={path!r} draws a {noun}; the held-out subjects that it would be measured on are people. Give an adapter trained with subject=people."
        )
    if ROUTERS[router].drawn:
        raise ValueError(
            f"adapter={path!r} has the router {router!r}, which draws only in regions that are given; the evaluation gives none and measures where "
            f"a router itself draws: one of {', '.join(name for name, found in ROUTERS.items() if not found.drawn)}. Give an adapter trained with one of these, such as router=mlp."
        )
    check_keep(keep_context, [path] if ROUTERS[router].blind else [])
    return adapter


def open_pipeline(settings: Settings, adapter: MoAAdapter | None, device: torch.device) -> MoAPipeline:
    """The prior, with the adapter where one is measured."""
    if adapter is not None:
        check_fit(settings.prior, adapter, "adapter")
    pipe = MoAPipeline.from_pretrained(settings.prior, dtype=getattr(torch, settings.dtype), variant=settings.variant).to(device)
    if adapter is not None:
        pipe.load_moa(adapter, "measured")
    return pipe


class Reconstruction:
    """A painter that sends the world's own renders through the pipeline's autoencoder."""

    def __init__(self, pipe: MoAPipeline, batch_size: int):
        self.pipe, self.batch_size = pipe, batch_size

    @torch.no_grad()
    def __call__(self, cases: Sequence[Case]) -> list[Picture]:
        out: list[Picture] = []
        for start in range(0, len(cases), self.batch_size):
            images = torch.stack([as_tensor(case.render()) for case in cases[start : start + self.batch_size]])
            vae = self.pipe.vae
            decoded = vae.decode(vae.encode(images.to(vae.device, vae.dtype)).latent_dist.mode()).sample
            shown = self.pipe.image_processor.postprocess(decoded.detach(), output_type="pil")
            out += [Picture(as_array(image)) for image in shown]
        return out
