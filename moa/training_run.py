"""A training run: builds the objects that the configuration names, runs the loop and shows it."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import datetime
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import set_seed
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from tqdm import tqdm

from moa.cli import MEGABYTE, output_folder, quiet, writable_folder
from moa.training.checkpoint import load_state, step_folders
from moa.training.cpu import keep_memory
from moa.training.identity import Plain, check_same_run
from moa.training.loop import OPTIMIZER_ARGUMENTS, Report, train
from moa.training.processes import first_decides
from moa.training_settings import (
    check_given,
    check_loop,
    check_nodes,
    check_partial,
    check_resume,
    identity,
)

log = logging.getLogger("moa.train")


def run(config: DictConfig) -> None:
    """Trains what the configuration says. Errors in it are ValueErrors, before anything is written."""
    raw = OmegaConf.to_container(config, resolve=False)
    check_given(raw)
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
    same = identity(raw, plain(config), seed=config.train.seed)
    with ExitStack() as stack:
        out = Path(first_decides(lambda: str(stack.enter_context(run_folder(config, same)))))
        reports = prepare(config, out, settings, same)
    if PartialState().is_main_process:
        OmegaConf.save(config, out / "config.yaml", resolve=True)
    follow(reports, config.train.steps, config.train.max_minutes)
    if PartialState().is_main_process:
        log.info("sheets, metrics and checkpoints of the run are in %s", out)
    PartialState().wait_for_everyone()


def prepare(config: DictConfig, out: Path, settings: Mapping[str, object], same: Mapping[str, Plain]) -> Iterable[Report]:
    """Everything a run is made of, built and checked, as its reports, of which none has begun.

    What starts at random starts from the run's seed: the same command learns the same.
    """
    if PartialState().is_main_process:
        check_export(config.train.export)
    try:
        with PartialState().main_process_first():  # pictures that are not there yet are drawn once
            set_seed(config.train.seed)
            data = instantiate(config.data)
            objective = instantiate(config.objective)
        writable_folder(out, needed=checkpoint_bytes(objective) * (config.train.keep + 1))
        trackers = [instantiate(tracker) for tracker in config.tracker.values()]
        optimizer = instantiate(config.train.optimizer)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ValueError(explain(error)) from None
    return train(
        objective,
        data,
        out=out,
        trackers=trackers,
        resume=config.resume,
        identity=same,
        **settings | {"optimizer": optimizer},
    )


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


def run_folder(config: DictConfig, same: Mapping[str, Plain]) -> AbstractContextManager[Path]:
    """`out` where it is set; else the newest of the same run to resume; else a new folder."""
    runs = Path("outputs") / config.name
    chosen = config.out
    if chosen is None and config.resume == "latest":
        chosen = newest_run(runs, same)
    return output_folder(chosen, runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def newest_run(runs: Path, same: Mapping[str, Plain]) -> Path | None:
    """The newest folder with checkpoints of the run that the settings say; None for no run at all.

    Raises: ValueError, about the newest, where all are of other runs.
    """
    other = None
    for folder in sorted((path for path in runs.glob("*") if path.is_dir()), reverse=True):
        saved = saved_identity(folder)
        if saved is None:
            continue
        try:
            check_same_run(folder, saved, same)
        except ValueError as error:
            other = other or error
            continue
        if other is not None:
            log.warning("going on with %s: what is newer in %s are other runs", folder, runs)
        return folder
    if other is not None:
        raise other
    return None


def saved_identity(folder: Path) -> Mapping[str, Plain] | None:
    """The identity of the run in a folder, by its newest checkpoint that tells; None without one."""
    for path in reversed(step_folders(folder / "checkpoints")):
        with suppress(ValueError):  # what is wrong with it is said when the run is taken up
            found = load_state(path).get("identity")
            if isinstance(found, dict):
                return found
    return None


def explain(error: Exception) -> str:
    """A configuration error in one paragraph: what was raised below Hydra, and the node it is about."""
    cause = error
    while isinstance(cause, HydraException) and cause.__cause__ is not None:
        cause = cause.__cause__
    node = getattr(error, "full_key", None) or ""
    text = " ".join(str(cause).split())
    return f"{text} (in the configuration's {node})" if node else text
