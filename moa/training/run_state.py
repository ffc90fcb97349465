"""Everything of a run that outlives a step: parameters, averages, optimizer, counters, trackers; how it is saved and taken up again."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from moa.training import checkpoint
from moa.training.ema import Average, averaged
from moa.training.numbers import seed_of
from moa.training.optimizer import trainable
from moa.training.tracking import Tracker

log = logging.getLogger(__name__)


class RunState:
    """The state of one run in the folder `out`; a context that starts and closes the trackers."""

    def __init__(
        self,
        objective: nn.Module,
        out: Path,
        *,
        seed: int,
        batch_size: int,
        ema_decay: float | None,
        optimizer: Callable[[Mapping[str, nn.Parameter]], torch.optim.Optimizer],
        trackers: Iterable[Tracker],
        keep: int,
    ) -> None:
        self.objective, self.out, self.keep = objective, out, keep
        self.facts = {"seed": seed, "batch_size": batch_size}
        self.parameters = trainable(objective)
        self.average = None if ema_decay is None else Average(self.parameters, ema_decay)
        self.optimizer = optimizer(self.parameters)
        self.trackers, self.tracker_state = list(trackers), {}
        self.step, self.minutes = 0, 0.0
        self.saved_step, self.saved_minutes, self.validated_minutes = 0, 0.0, 0.0
        self.accelerator: Accelerator | None = None
        self.scaler: dict[str, float] | None = None

    def attach(self, accelerator: Accelerator) -> None:
        """Takes the accelerator that runs the steps; the loss scaler of fp16 goes on where it was."""
        self.accelerator, self.clock = accelerator, time.perf_counter()
        if accelerator.scaler is not None and self.scaler is not None:
            accelerator.scaler.load_state_dict(self.scaler)

    def __enter__(self) -> "RunState":
        self.objective.train()
        for tracker in self.trackers:
            tracker.start(self.out, self.tracker_state)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for tracker in self.trackers:
            tracker.close()
        self.accelerator.unwrap_model(self.objective, keep_fp32_wrapper=False)

    def advance(self) -> None:
        """Counts a step: its number, its time, its place in the averages."""
        now = time.perf_counter()
        self.step, self.minutes, self.clock = self.step + 1, self._shared(self.minutes + (now - self.clock) / 60), now
        if self.average is not None:
            self.average.update(self.parameters, self.step)

    def log(self, values: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log(self.step, values)

    def save_if_due(self, every_steps: int | None, every_minutes: float | None) -> None:
        """Saves on a step that is a multiple of `every_steps`, or `every_minutes` after the last save."""
        by_steps = every_steps is not None and self.step % every_steps == 0
        by_minutes = every_minutes is not None and self.minutes - self.saved_minutes >= every_minutes
        if by_steps or by_minutes:
            self.save()

    def save(self) -> None:
        """Writes a checkpoint unless this step has one; the first process writes, the others wait."""
        if self.step > self.saved_step and self.accelerator.is_main_process:
            checkpoint.save(self.out / "checkpoints", self.step, self._checkpoint(), keep=self.keep)
        self.saved_step, self.saved_minutes = self.step, self.minutes
        self.accelerator.wait_for_everyone()

    def _checkpoint(self) -> checkpoint.Checkpoint:
        groups = {"trainable": self.parameters, "optimizer": self._optimizer_tensors()}
        if self.average is not None:
            groups["average"] = self.average.tensors
        scaler = self.accelerator.scaler
        state = {
            "step": self.step,
            "minutes": self.minutes,
            "validated_minutes": self.validated_minutes,
            "facts": self.facts,
            "scaler": None if scaler is None else scaler.state_dict(),
            "trackers": {key: value for tracker in self.trackers for key, value in tracker.state().items()},
        }
        return checkpoint.Checkpoint(tensors=groups, state=state)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        moments = self.optimizer.state
        return {f"{name}/{key}": value for name, p in self.parameters.items() for key, value in moments[p].items()}

    def resume(self, source: str) -> None:
        """Takes up a checkpoint: none, latest (of this folder) or a path."""
        existing = checkpoint.step_folders(self.out / "checkpoints")
        if source == "none" and existing:
            raise ValueError(f"{self.out} already holds checkpoints ({existing[-1].name}); set resume=latest, or another out")
        if source == "none":
            return
        path = checkpoint.latest(self.out / "checkpoints") if source == "latest" else Path(source)
        if path is None:
            log.warning("resume=latest found no whole checkpoint in %s: starting at step 0", self.out)
            return
        newest = checkpoint.latest(self.out / "checkpoints")
        self._load(checkpoint.load(path), path)
        if newest is not None and newest.name > checkpoint.step_folder(self.out, self.step).name:
            raise ValueError(f"{path} is older than {newest}, which would be overwritten; set another out, or resume=latest")

    def _load(self, saved: checkpoint.Checkpoint, path: Path) -> None:
        tensors, state = saved.tensors["trainable"], saved.state
        if state["facts"]["seed"] != self.facts["seed"]:
            raise ValueError(
                f"{path} was trained with seed {state['facts']['seed']}, the settings say {self.facts['seed']}; use the same to resume"
            )
        if state["facts"] != self.facts:
            log.warning(
                "%s was trained with batches of %d; it goes on with %d, in another order of examples",
                path,
                state["facts"]["batch_size"],
                self.facts["batch_size"],
            )
        _check_names(self.parameters, tensors, path)
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(tensors[name])
        if self.average is not None:
            self.average.load(saved.tensors.get("average", tensors))
        self._load_optimizer(saved.tensors["optimizer"])
        self.step = self.saved_step = state["step"]
        self.minutes = self.saved_minutes = state["minutes"]
        self.validated_minutes = state["validated_minutes"]
        self.scaler, self.tracker_state = state["scaler"], state["trackers"]
        log.info("resumed %s", path)

    def _load_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        for key, value in tensors.items():
            name, moment = key.rsplit("/", 1)
            p = self.parameters[name]
            self.optimizer.state[p][moment] = value.to(p.device)

    def _shared(self, minutes: float) -> float:
        """The processes' mean, so that all of them decide alike."""
        if self.accelerator.num_processes == 1:
            return minutes
        mine = torch.tensor(minutes, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(mine, reduction="mean"))

    def validate_if_due(self, every_minutes: float | None) -> None:
        """Calls the objective's `validate(out, step, generator)` with the averages in place, in the first process."""
        if every_minutes is None or self.minutes - self.validated_minutes < every_minutes:
            return
        self.validated_minutes = self.minutes
        if self.accelerator.is_main_process:
            self.log({f"validation/{name}": value for name, value in self._validated().items()})
        self.accelerator.wait_for_everyone()

    def _validated(self) -> dict[str, float]:
        generator = torch.Generator(self.accelerator.device).manual_seed(seed_of(self.facts["seed"], self.step))
        self.objective.eval()
        with torch.no_grad(), averaged(self.parameters, self.average), self.accelerator.autocast():
            values = self.objective.validate(self.out, self.step, generator)
        self.objective.train()
        return values

    def finish(self, export: str | Path | None) -> None:
        """Saves the last step, measures once more (`metrics.json`) and lets the objective export the averages (`export`)."""
        self.save()
        if not self.accelerator.is_main_process:
            return
        if hasattr(self.objective, "validate"):
            (self.out / "metrics.json").write_text(json.dumps({"step": self.step, **self._validated()}, indent=1) + "\n")
        if hasattr(self.objective, "export"):
            self.objective.eval()
            with torch.no_grad(), averaged(self.parameters, self.average):
                self.objective.export(self.out / "export" if export is None else Path(export))


def _check_names(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    ours, theirs = {n: tuple(p.shape) for n, p in parameters.items()}, {n: tuple(t.shape) for n, t in tensors.items()}
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if odd:
        name = odd[0]
        raise ValueError(
            f"{path} does not fit the objective: {name} is {theirs.get(name, 'absent')} there and {ours.get(name, 'absent')} here "
            f"({len(odd)} such tensors); resume with the settings it was trained with"
        )
