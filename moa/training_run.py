"""A training run: builds the objects that the configuration names, runs the loop and shows it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from moa.cli import first_cause, newest, writable_folder
from moa.training.checkpoint import step_folders
from moa.training.cpu import keep_memory
from moa.training.loop import Report, train


def run(config: DictConfig) -> None:
    """Trains what the configuration says. Errors in it are ValueErrors."""
    settings = OmegaConf.to_container(config.train, resolve=True)
    settings.pop("_target_")
    check_settings(settings, train)
    if PartialState(cpu=config.train.cpu).device.type == "cpu":
        keep_memory()
    out = run_folder(config)
    if PartialState().is_main_process:
        writable_folder(out)
    try:
        with PartialState().main_process_first():  # pictures that are not there yet are drawn once
            data = instantiate(config.data)
            objective = instantiate(config.objective)
        trackers = [instantiate(tracker) for tracker in config.tracker.values()]
        reports = instantiate(config.train, objective=objective, data=data, out=out, trackers=trackers, resume=config.resume)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ValueError(explain(error)) from None
    if PartialState().is_main_process:
        OmegaConf.save(config, out / "config.yaml", resolve=True)
    follow(reports, config.train.steps)
    PartialState().wait_for_everyone()


def check_settings(settings: Mapping[str, object], function: Callable) -> None:
    """ValueError for a setting that the function does not take, or whose value is of another kind than its signature says."""
    hints = {name: hint for name, hint in get_type_hints(function).items() if name != "return"}
    for name, value in settings.items():
        if name not in hints:
            near = get_close_matches(name, hints, 1)
            raise ValueError(f"train.{name} is no setting; did you mean train.{near[0] if near else 'steps'}? All are in conf/train.yaml")
        kinds = kinds_of(hints[name])
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            allowed = " or ".join(kind.__name__.replace("NoneType", "null") for kind in kinds)
            raise ValueError(f"train.{name}={value!r} is of kind {type(value).__name__}; {allowed} is needed; change train.{name}")


def kinds_of(hint: object) -> tuple[type, ...]:
    """The classes whose instances a type hint allows; an int is a float here."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = tuple(get_origin(part) or part for part in parts)
    return (*kinds, int) if float in kinds else kinds


def follow(reports: Iterable[Report], steps: int | None) -> None:
    """Runs the generator to its end behind a progress bar with the live losses."""
    with tqdm(total=steps, disable=None if PartialState().is_main_process else True, unit="step") as bar:
        for report in reports:
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.4f}", **{name: f"{value:.3g}" for name, value in report.parts.items()})


def run_folder(config: DictConfig) -> Path:
    """`out` where it is set; else the newest run of this name to resume; else a new folder. The first process decides for all."""
    chosen = [config.out]
    if config.out is None:
        runs = Path("outputs") / config.name
        old = newest(runs, lambda path: bool(step_folders(path / "checkpoints"))) if config.resume == "latest" else None
        chosen = [str(old or runs / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))]
    return Path(broadcast_object_list(chosen)[0])


def explain(error: Exception) -> str:
    """A configuration error in one paragraph: the deepest cause and the node it is about."""
    cause = first_cause(error)
    node = getattr(error, "full_key", None) or ""
    text = " ".join(str(cause).split())
    return f"{text} (in the configuration's {node})" if node else text
