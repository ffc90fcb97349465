"""Everything of a run that outlives a step: parameters, averages, optimizer, counters, trackers; how it is saved and taken up again."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from moa.training import checkpoint
from moa.training.ema import Average, averaged
from moa.training.identity import Plain, check_same_run, digest, say
from moa.training.lock import FolderLock
from moa.training.numbers import seed_of
from moa.training.optimizer import trainable
from moa.training.tracking import Tracker

log = logging.getLogger(__name__)
STATE = {  # of a checkpoint, and of which kinds its entries are
    "step": int,
    "minutes": (int, float),
    "validated_minutes": (int, float),
    "identity": dict,
    "recipe": dict,
    "scaler": (dict, type(None)),
    "trackers": dict,
}


class RunState:
    """The state of one run in the folder `out`; a context that starts and closes the trackers.

    `identity` are the settings that make it this run and no other: a checkpoint with another one
    is refused. `recipe` are those that may change when it goes on, with a warning.
    """

    def __init__(
        self,
        objective: nn.Module,
        out: Path,
        *,
        seed: int,
        identity: Mapping[str, Plain],
        recipe: Mapping[str, Plain],
        ema_decay: float | None,
        optimizer: Callable[[Mapping[str, nn.Parameter]], torch.optim.Optimizer],
        trackers: Iterable[Tracker],
        keep: int,
    ) -> None:
        self.objective, self.out, self.keep = objective, out, keep
        self.seed, self.identity, self.recipe = seed, dict(identity), dict(recipe)
        self.parameters = trainable(objective)
        self.average = None if ema_decay is None else Average(self.parameters, ema_decay)
        self.optimizer = optimizer(self.parameters)
        self.trackers, self.tracker_state = list(trackers), {}
        self.step, self.minutes = 0, 0.0
        self.saved_step, self.saved_minutes, self.validated_minutes = 0, 0.0, 0.0
        self.accelerator: Accelerator | None = None
        self.scaler: dict[str, float] | None = None
        self.lock: FolderLock | None = None

    def take_folder(self) -> None:
        """Keeps other trainings out of the folder. Raises: ValueError where one is at work."""
        self.lock = FolderLock(self.out)

    def release_folder(self) -> None:
        """Lets others in again."""
        if self.lock is not None:
            self.lock.release()

    def attach(self, accelerator: Accelerator) -> None:
        """Takes the accelerator that runs the steps; the loss scaler of fp16 goes on where it was."""
        self.accelerator = accelerator
        if accelerator.scaler is not None and self.scaler is not None:
            accelerator.scaler.load_state_dict(self.scaler)

    def __enter__(self) -> "RunState":
        self.clock = time.perf_counter()
        self.objective.train()
        try:
            for tracker in self.trackers:
                tracker.start(self.out, self.tracker_state)
        except BaseException:
            self.release_folder()
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for tracker in self.trackers:
            tracker.close()
        self.accelerator.unwrap_model(self.objective, keep_fp32_wrapper=False)
        self.release_folder()

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
            "identity": self.identity,
            "identity_digest": digest(self.identity),
            "recipe": self.recipe,
            "scaler": None if scaler is None else scaler.state_dict(),
            "trackers": {key: value for tracker in self.trackers for key, value in tracker.state().items()},
        }
        return checkpoint.Checkpoint(tensors=groups, state=state)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        moments = self.optimizer.state
        return {f"{name}/{key}": value for name, p in self.parameters.items() for key, value in moments[p].items()}

    def resume(self, source: str) -> None:
        """Takes up a checkpoint: none, latest (of this folder) or a path.

        Raises: ValueError where checkpoints would be mixed up or lost, where none is whole, and
        where the one to take up is of another run.
        """
        folder = self.out / "checkpoints"
        existing = checkpoint.step_folders(folder)
        if source == "none" and existing:
            raise ValueError(f"{self.out} already holds checkpoints ({existing[-1].name}); set resume=latest, or another out")
        if source == "none":
            return
        newest = checkpoint.latest(folder)
        if source == "latest" and newest is None:
            if existing:
                raise ValueError(
                    f"{self.out} holds {len(existing)} checkpoints of which none is whole; mend "
                    "them or take them away, or start again with another out"
                )
            log.warning("resume=latest found no checkpoint in %s: starting at step 0", self.out)
            return
        path = newest if source == "latest" else Path(source)
        self._check_place(path, existing, newest)
        self._load(checkpoint.load(path), path)

    def _check_place(self, path: Path, existing: Sequence[Path], newest: Path | None) -> None:
        """ValueError where going on from `path` would overwrite checkpoints of this folder."""
        own = {known.resolve(): known for known in existing}.get(path.resolve())
        if own is None and existing:
            raise ValueError(f"{self.out} already holds checkpoints ({existing[-1].name}), and {path} is none of them; set another out")
        if own and newest and checkpoint.step_of(newest) > checkpoint.step_of(own):
            raise ValueError(f"{path} is older than {newest}, which would be overwritten; set another out, or resume=latest")

    def _load(self, saved: checkpoint.Checkpoint, path: Path) -> None:
        _check_kinds(saved, path)
        tensors, state = saved.tensors["trainable"], saved.state
        check_same_run(path, state["identity"], self.identity)
        _warn_of_changes(path, state["recipe"], self.recipe)
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
        log.info("resumed %s (run %s)", path, digest(self.identity))

    def _load_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes saved moments, each laid out in memory as its parameter is.

        A file keeps no strides, and a fused optimizer goes through memory in order.
        """
        for key, value in tensors.items():
            name, moment = key.rsplit("/", 1)
            p = self.parameters[name]
            like = torch.empty_like(p, dtype=value.dtype) if value.shape == p.shape else value
            self.optimizer.state[p][moment] = torch.empty_like(like, device=p.device).copy_(value)

    def _shared(self, minutes: float) -> float:
        """The processes' mean, so that all of them decide alike."""
        if self.accelerator.num_processes == 1:
            return minutes
        mine = torch.tensor(minutes, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(mine, reduction="mean"))

    def validate_if_due(self, every_minutes: float | None, *, save_first: bool) -> None:
        """Calls the objective's `validate(out, step, generator)`, in the first process.

        The averages are in place meanwhile. It may take long, or fail, so with `save_first` what
        was learned is saved before.
        """
        if every_minutes is None or self.minutes - self.validated_minutes < every_minutes:
            return
        self.validated_minutes = self.minutes
        if save_first:
            self.save()
        if self.accelerator.is_main_process:
            self.log({f"validation/{name}": value for name, value in self._validated().items()})
        self.accelerator.wait_for_everyone()

    def _validated(self) -> dict[str, float]:
        generator = torch.Generator(self.accelerator.device).manual_seed(seed_of(self.seed, self.step))
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
                self.objective.export(self._export_folder(export))

    def stopped(self, export: str | Path | None) -> str:
        """What to tell a user whose run was stopped; nothing in other processes than the first."""
        if not self.accelerator.is_main_process:
            return ""
        saved = checkpoint.step_folder(self.out / "checkpoints", self.step)
        return (
            f"stopped at step {self.step}, which is saved in {saved}; nothing was written to "
            f"{self._export_folder(export)}. To go on, give the same command with resume=latest; "
            "to write what it has learned so far, the same with resume=latest train.steps=0"
        )

    def _export_folder(self, export: str | Path | None) -> Path:
        return self.out / "export" if export is None else Path(export)


def _check_kinds(saved: checkpoint.Checkpoint, path: Path) -> None:
    """ValueError for a checkpoint that is whole and yet none of a training run."""
    odd = [name for name, kinds in STATE.items() if not isinstance(saved.state.get(name), kinds)]
    odd += [name for name in ("trainable", "optimizer") if name not in saved.tensors]
    if odd:
        raise ValueError(f"{path} is no checkpoint of a training run: it has no {odd[0]}; give one")


def _warn_of_changes(path: Path, saved: Mapping[str, Plain], given: Mapping[str, Plain]) -> None:
    odd = [name for name in given if name not in saved or saved[name] != given[name]]
    if odd:
        log.warning(
            "%s was trained with %s; it goes on with %s, otherwise than if it had never stopped",
            path,
            ", ".join(say(saved, name) for name in odd),
            ", ".join(say(given, name) for name in odd),
        )


def _check_names(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    ours, theirs = {n: tuple(p.shape) for n, p in parameters.items()}, {n: tuple(t.shape) for n, t in tensors.items()}
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if odd:
        name = odd[0]
        raise ValueError(
            f"{path} does not fit the objective: {name} is {theirs.get(name, 'absent')} there and {ours.get(name, 'absent')} here "
            f"({len(odd)} such tensors); resume with the settings it was trained with"
        )
