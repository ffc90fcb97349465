"""`python train.py` and `python -m moa.train`: composes the configuration, builds its objects and runs the loop."""

import logging
import sys
from datetime import datetime
from pathlib import Path

import hydra
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from moa.cli import CONF, first_cause, newest, plain_errors, show_log
from moa.training.checkpoint import step_folders

log = logging.getLogger("moa.train")


def run(config: DictConfig) -> None:
    """Trains what the configuration says. Errors in it are ValueErrors."""
    out = run_folder(config)
    try:
        data = instantiate(config.data)
        objective = instantiate(config.objective)
        trackers = [instantiate(tracker) for tracker in config.tracker.values()]
        reports = instantiate(config.train, objective=objective, data=data, out=out, trackers=trackers, resume=config.resume)
    except (InstantiationException, OmegaConfBaseException) as error:
        raise ValueError(explain(error)) from None
    if PartialState().is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, out / "config.yaml", resolve=True)
    follow(reports, config.train.steps)
    PartialState().wait_for_everyone()


def follow(reports: object, steps: int | None) -> None:
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


@hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="train")
def _hydra_main(config: DictConfig) -> None:
    show_log()
    with plain_errors():
        run(config)


def main() -> None:
    """The command line."""
    _hydra_main()


if __name__ == "__main__":
    sys.exit(main())
