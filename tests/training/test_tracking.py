"""Each tracker with its real library; numbers continue after a resume."""

import json
from pathlib import Path

import pytest

from moa.training.loop import train
from moa.training.tracking import Console, Jsonl, TensorBoard, WandB

from toys import Ramp, Toy

SETTINGS = dict(batch_size=6, learning_rate=0.05, log_every=1, cpu=True)


def test_jsonl_continues(tmp_path: Path) -> None:
    for steps, resume in ((3, "none"), (5, "latest")):
        list(train(Toy(), Ramp(), out=tmp_path, steps=steps, resume=resume, trackers=[Jsonl()], validate_every_minutes=0.0, **SETTINGS))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]
    assert [line["validation/seen"] for line in lines if "validation/seen" in line] == [1, 2, 3, 4, 5]
    assert {"fit", "size", "learning_rate", "gradient_norm"} <= lines[0].keys()


def test_console(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="moa")
    list(train(Toy(), Ramp(), out=tmp_path, steps=1, trackers=[Console()], **SETTINGS))
    assert "step 1  loss" in caplog.text


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    list(train(Toy(), Ramp(), out=tmp_path, steps=2, trackers=[TensorBoard()], **SETTINGS))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("fit")] == [1, 2]


def test_wandb_offline_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = []
    for steps, resume in ((2, "none"), (4, "latest")):
        tracker = WandB(project="test", name="toy")
        list(train(Toy(), Ramp(), out=tmp_path, steps=steps, resume=resume, trackers=[tracker], **SETTINGS))
        ids.append(tracker.run.id)
    assert ids[0] == ids[1]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_wandb_keeps_steps_before_those_it_has_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill, when a run resumes from a checkpoint that is older than its last line."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandB(project="test")
    tracker.start(tmp_path, {})
    for step in (5, 3, 4):
        tracker.log(step, {"loss": 10.0 * step})
        assert tracker.run.summary["loss"] == 10.0 * step and tracker.run.summary["step"] == step
    tracker.close()
