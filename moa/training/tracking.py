"""Where a run's numbers go: a file, the console, Weights & Biases, TensorBoard. Each is one small class that a config names."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """Started once with the run's folder and what `state` gave before a resume; steps only ever grow."""

    def start(self, out: Path, state: Mapping[str, str]) -> None: ...

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def state(self) -> dict[str, str]: ...

    def close(self) -> None: ...


class Jsonl:
    """One JSON object a line in `<out>/metrics.jsonl`; after a resume, lines beyond the resumed step are followed by newer ones."""

    def start(self, out: Path, state: Mapping[str, str]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.file = out / "metrics.jsonl"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")

    def state(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


class Console:
    """A line of the log."""

    def start(self, out: Path, state: Mapping[str, str]) -> None:
        log.info("writing to %s", out)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        log.info("step %d  %s", step, "  ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def state(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


class WandB:
    """Weights & Biases; WANDB_MODE=offline works, and a resumed run continues under the same id.

    The run's step is a value of its own and every chart's axis: wandb drops what is logged under a smaller step than before, and a run that
    resumes from an older checkpoint logs such.
    """

    def __init__(self, project: str, name: str | None = None) -> None:
        self.project, self.name = project, name

    def start(self, out: Path, state: Mapping[str, str]) -> None:
        try:
            import wandb
        except ImportError:
            raise ValueError(
                "tracker=wandb needs the package wandb, which is not installed; install it or choose tracker=default"
            ) from None
        run_id = state.get("wandb_id")
        resume = "allow" if run_id else None
        self.run = wandb.init(project=self.project, name=self.name, dir=str(out), id=run_id, resume=resume)
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({"step": step, **values})

    def state(self) -> dict[str, str]:
        return {"wandb_id": self.run.id}

    def close(self) -> None:
        self.run.finish()


class TensorBoard:
    """Event files in `<out>/tensorboard`."""

    def start(self, out: Path, state: Mapping[str, str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError(
                "tracker=tensorboard needs the package tensorboard, which is not installed; install it or choose tracker=default"
            ) from None
        self.writer = SummaryWriter(str(out / "tensorboard"))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def state(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        self.writer.close()
