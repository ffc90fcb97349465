"""A training run: builds the objects that the configuration names, runs the loop and shows it."""

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from tqdm import tqdm

from moa.cli import MEGABYTE, newest, no_empty_folder, quiet, writable_folder
from moa.training.checkpoint import step_folders
from moa.training.cpu import keep_memory
from moa.training.loop import OPTIMIZER_ARGUMENTS, Report, train
from moa.training_settings import check_given, check_loop, check_nodes, check_partial, check_resume

log = logging.getLogger("moa.train")


def run(config: DictConfig) -> None:
    """Trains what the configuration says. Errors in it are ValueErrors."""
    check_given(OmegaConf.to_container(config, resolve=False))
    settings = OmegaConf.to_container(config.train, resolve=True)
    settings.pop("_target_")
    check_loop(settings, train)
    check_partial("train.optimizer", settings["optimizer"], OPTIMIZER_ARGUMENTS)
    for name in ("data", "objective", "tracker"):
        check_nodes(plain(config[name]), name)
    if PartialState(cpu=config.train.cpu).device.type == "cpu":
        keep_memory()
    check_resume(config.resume)
    quiet()
    out = run_folder(config)
    with no_empty_folder(out):
        reports = prepare(config, out)
    if PartialState().is_main_process:
        OmegaConf.save(config, out / "config.yaml", resolve=True)
    follow(reports, config.train.steps, config.train.max_minutes)
    if PartialState().is_main_process:
        log.info("sheets, metrics and checkpoints of the run are in %s", out)
    PartialState().wait_for_everyone()


def prepare(config: DictConfig, out: Path) -> Iterable[Report]:
    """Everything a run is made of, built and checked, in the form of its reports, of which none has begun."""
    if PartialState().is_main_process:
        writable_folder(out)
        check_export(config.train.export)
    try:
        with PartialState().main_process_first():  # pictures that are not there yet are drawn once
            data = instantiate(config.data)
            objective = instantiate(config.objective)
        writable_folder(out, needed=checkpoint_bytes(objective) * (config.train.keep + 1))
        trackers = [instantiate(tracker) for tracker in config.tracker.values()]
        return instantiate(config.train, objective=objective, data=data, out=out, trackers=trackers, resume=config.resume)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ValueError(explain(error)) from None


def plain(node: DictConfig | None) -> object:
    """A node as dictionaries, lists and values, its interpolations resolved.

    Errors: ValueError for an interpolation that leads nowhere.
    """
    try:
        return None if node is None else OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(explain(error)) from None


def check_export(export: str | None) -> None:
    """ValueError unless the folder of the result, or the one it will be made in, can be written to."""
    if export is None:
        return
    if Path(export).is_file():
        raise ValueError(f"train.export={export!r} is a file; give a folder, which may be there or not.")
    existing = next(path for path in (Path(export).absolute(), *Path(export).absolute().parents) if path.is_dir())
    try:
        writable_folder(existing, setting="train.export")
    except ValueError as error:
        raise ValueError(f"train.export={export!r} cannot be made: {error}") from None


def checkpoint_bytes(objective: nn.Module) -> int:
    """At most: the trained parameters, their averages and the optimizer's two moments; and some room for the rest."""
    return 16 * MEGABYTE + 4 * sum(p.numel() * p.element_size() for p in objective.parameters() if p.requires_grad)


def follow(reports: Iterable[Report], steps: int | None, minutes: float | None) -> None:
    """Runs the generator to its end behind a progress bar of steps, or of minutes where only they end the run, with the live losses."""
    total = minutes if steps is None else steps
    shape = "{l_bar}{bar}| " + ("{n:.1f}/{total:g} min" if steps is None else "{n}/{total} steps") + " [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=total, bar_format=shape, disable=None if PartialState().is_main_process else True) as bar:
        for report in reports:
            bar.set_postfix(
                step=report.step, loss=f"{report.loss:.4f}", **{name: f"{value:.3g}" for name, value in report.parts.items()}, refresh=False
            )
            bar.update(min(report.minutes if steps is None else report.step, total) - bar.n)


def run_folder(config: DictConfig) -> Path:
    """`out` where it is set; else the newest run of this name to resume; else a new folder. The first process decides for all."""
    chosen = [config.out]
    if config.out is None:
        runs = Path("outputs") / config.name
        old = newest(runs, lambda path: bool(step_folders(path / "checkpoints"))) if config.resume == "latest" else None
        chosen = [str(old or runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))]
    return Path(broadcast_object_list(chosen)[0])


def explain(error: Exception) -> str:
    """A configuration error in one paragraph: what was raised below Hydra, and the node it is about."""
    cause = error
    while isinstance(cause, HydraException) and cause.__cause__ is not None:
        cause = cause.__cause__
    node = getattr(error, "full_key", None) or ""
    text = " ".join(str(cause).split())
    return f"{text} (in the configuration's {node})" if node else text
