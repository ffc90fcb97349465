"""The training loop: a generator that yields a report after every step."""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from accelerate.state import AcceleratorState
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from moa.device import find_precision
from moa.training.cpu import align
from moa.training.identity import Plain
from moa.training.interruption import Interrupted, Interruption, deafen
from moa.training.learner import Learner
from moa.training.optimizer import adamw
from moa.training.order import StepBatches
from moa.training.processes import first_decides
from moa.training.run_state import RunState
from moa.training.schedule import check_end, learning_rate_factor, progress
from moa.training.tracking import Tracker

log = logging.getLogger(__name__)
OPTIMIZER_ARGUMENTS = ("learning_rate", "weight_decay", "betas")  # what the loop gives it besides


@dataclass(frozen=True)
class Report:
    """What one step did; `pictures_per_second` counts all processes, `minutes` all sessions of the run."""

    step: int
    loss: float
    parts: dict[str, float]
    learning_rate: float
    gradient_norm: float
    pictures_per_second: float
    minutes: float

    def numbers(self) -> dict[str, float]:
        """The report as flat numbers for a tracker."""
        own = {"loss": self.loss, "learning_rate": self.learning_rate, "gradient_norm": self.gradient_norm}
        return own | self.parts | {"pictures_per_second": self.pictures_per_second, "minutes": self.minutes}


def train(
    objective: nn.Module,
    data: Dataset,
    *,
    out: str | Path,
    batch_size: int,
    learning_rate: float,
    steps: int | None = None,
    max_minutes: float | None = None,
    warmup_steps: int = 0,
    schedule: str = "constant",
    cooldown: float = 0.25,
    floor: float = 0.0,
    optimizer: Callable[..., Optimizer] = adamw,
    weight_decay: float = 0.0,
    betas: Sequence[float] = (0.9, 0.999),
    clip_norm: float | None = 1.0,
    accumulate: int = 1,
    precision: str = "no",
    ema_decay: float | None = None,
    seed: int = 0,
    workers: int = 0,
    log_every: int = 10,
    checkpoint_every: int | None = None,
    checkpoint_minutes: float | None = None,
    validate_every_minutes: float | None = None,
    keep: int = 2,
    resume: str = "none",
    identity: Mapping[str, Plain] | None = None,
    export: str | Path | None = None,
    trackers: Sequence[Tracker] = (),
    cpu: bool = False,
) -> Iterator[Report]:
    """Trains exactly the parameters of `objective` that require a gradient; `objective(batch, generator)` gives (loss, named parts).

    A step learns from `batch_size` examples in all, whatever `accumulate` and the number of
    processes. All randomness is a pure function of (seed, step), so a run that stops and resumes,
    however often and however it was stopped, equals one that never did, bit for bit on a CPU with
    the same number of processes and threads: parameters, averages and optimizer.

    That holds for a run whose end is given in `steps` alone. `max_minutes` is about the clock: it
    ends a run at another step each time, and a schedule that follows it is never the same twice.
    A run that is given more steps than before equals one that had them from the start as long as
    the learning rate is the same: always with schedule="constant", with "trapezoid" up to the last
    quarter of the shorter run, and never with "cosine", which is about the end from the first step.

    `optimizer` is called with the named parameters, learning_rate, weight_decay and betas: see
    `moa.training.optimizer`. `resume` is none, latest (of `out`) or a checkpoint's path. `identity` are settings, by name,
    that make this run what it is, beside its seed: a checkpoint with others is refused. Killed at
    any time, a run loses the steps since its last save and no more, `checkpoint_minutes` at most;
    validations are saved before. SIGINT (Ctrl-C) and SIGTERM save, and raise `Interrupted`.

    The folder and the run that is resumed are checked at once, before the first step is asked for.
    Raises: ValueError naming what is wrong in the settings, the run that is resumed, or the
    training that is at work in `out`; and, while it runs, the loss part that is not finite.
    """
    check_end(steps, max_minutes)
    AcceleratorState._reset_state()  # a process-wide singleton: an earlier run's precision would stay
    accelerator = Accelerator(
        mixed_precision=find_precision(precision, PartialState(cpu=cpu).device),
        cpu=cpu,
        # one copy less of every gradient
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    recipe = {
        "batch_size": batch_size,
        "accumulate": accumulate,
        "processes": accelerator.num_processes,
        "examples": len(data),
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "schedule": schedule,
        "cooldown": cooldown,
        "floor": floor,
        "weight_decay": weight_decay,
        "betas": list(betas),
        "clip_norm": clip_norm,
        "ema_decay": ema_decay,
        "precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
    }
    state = RunState(
        align(objective.to(accelerator.device)), Path(out), seed=seed, identity={"train.seed": seed, **(identity or {})}, recipe=recipe,
        ema_decay=ema_decay, optimizer=partial(optimizer, learning_rate=learning_rate, weight_decay=weight_decay, betas=betas), trackers=trackers if accelerator.is_main_process else (), keep=keep,
    )  # fmt: skip
    first_decides(state.take_folder)
    try:
        state.resume(resume)
        batches = StepBatches(
            len(data), batch_size=batch_size, seed=seed, first_step=state.step, accumulate=accumulate,
            processes=accelerator.num_processes, rank=accelerator.process_index,
        )  # fmt: skip
        model, prepared = accelerator.prepare(objective, state.optimizer)
        state.attach(accelerator)
    except BaseException:
        state.release_folder()
        raise

    def reports() -> Iterator[Report]:
        collate = getattr(objective, "collate", None) or getattr(data, "collate", None)
        loader = iter(DataLoader(data, batch_sampler=batches, collate_fn=collate, num_workers=workers, worker_init_fn=deafen))
        learner = Learner(accelerator, model, prepared, loader, state.parameters, seed=seed, parts=accumulate, clip_norm=clip_norm)
        with Interruption() as interruption, state:
            while (over := progress(step=state.step, steps=steps, minutes=state.minutes, max_minutes=max_minutes)) < 1:
                started = time.perf_counter()
                factor = learning_rate_factor(
                    schedule, step=state.step, warmup_steps=warmup_steps, progress=over, cooldown=cooldown, floor=floor
                )
                losses, norm, stop = learner.step(state.step, factor, interruption)
                seconds = time.perf_counter() - started
                state.advance()
                report = Report(state.step, losses.pop("loss"), losses, learning_rate * factor, norm, batch_size / seconds, state.minutes)
                if state.step % log_every == 0:
                    state.log(report.numbers())
                if stop:
                    log.warning("interrupted: saving step %d", state.step)
                    state.save()
                    raise Interrupted(interruption.number or signal.SIGTERM, state.stopped(export))
                state.save_if_due(checkpoint_every, checkpoint_minutes)
                state.validate_if_due(validate_every_minutes, save_first=checkpoint_minutes is not None)
                yield report
            state.finish(export)

    return reports()
