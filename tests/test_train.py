"""The training command: its settings, its errors, its folders."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from moa.cli import CONF
from moa.training import checkpoint
from moa.training.loop import train
from moa.training_run import check_settings, kinds_of, run, run_folder

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("tiny_*.yaml"))


def composed(*overrides: str) -> object:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF.resolve())):
        return compose("train", overrides=list(overrides))


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    path.with_suffix(".json").write_text(json.dumps({"captions": ["a person"] * 8, "scenes": ["snow"] * 8}))
    return path


def small(bank: Path) -> list[str]:
    return [
        "experiment=tiny_autoencoder", f"data.path={bank}", "data.count=8", f"objective.validation.path={bank}", "objective.validation.count=8",
        "objective.autoencoder.channels=[8,8]", "objective.autoencoder.norm_groups=4", "objective.crop=16", "train.cpu=true",
        "train.max_minutes=null", "train.batch_size=2", "train.log_every=1", "tracker=default",
    ]  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiments_fit_the_signature(experiment: str) -> None:
    config = composed(f"experiment={experiment}")
    settings = OmegaConf.to_container(config.train, resolve=True)
    assert settings.pop("_target_") == "moa.training.loop.train"
    check_settings(settings, train)
    assert config.name == experiment and config.subject is None if "subject" in config else True


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_opens_with_its_command(experiment: str) -> None:
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[1] == f"# python train.py experiment={experiment}"


def test_paths_are_taken_as_typed(bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "my run (1), first"
    done = subprocess.run([sys.executable, "-m", "moa.train", *small(bank), f"out={out}", f"train.export={tmp_path / 'vae'}", "train.steps=1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "metrics.jsonl").exists()


def test_trains_and_resumes(bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for steps, resume in ((2, "none"), (3, "latest")):
        run(composed(*small(bank), f"out={out}", f"train.steps={steps}", f"resume={resume}", f"train.export={tmp_path / 'vae'}"))
    assert checkpoint.latest(out / "checkpoints").name == "step_00000003"
    assert (tmp_path / "vae" / "config.json").exists() and (out / "config.yaml").exists()
    assert [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_resume_finds_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2026-01-01_00-00-00", "2026-01-02_00-00-00"):
        (tmp_path / "outputs" / "tiny_clip" / name / "checkpoints" / "step_00000001").mkdir(parents=True)
    (tmp_path / "outputs" / "tiny_clip" / "2026-01-03_00-00-00").mkdir()
    assert run_folder(composed("experiment=tiny_clip", "resume=latest")).name == "2026-01-02_00-00-00"
    assert run_folder(composed("experiment=tiny_clip")).parent == Path("outputs/tiny_clip")
    assert run_folder(composed("experiment=tiny_clip", "out=here")) == Path("here")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "many"}, r"train.batch_size='many' is of kind str; int is needed"),
        ({"batch_size": True}, r"train.batch_size=True is of kind bool"),
        ({"ema_decay": "x"}, r"float or null or int is needed"),
        ({"bach_size": 3}, r"train.bach_size is no setting; did you mean train.batch_size\?"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings(settings, train)


def test_kinds() -> None:
    assert kinds_of(float | None) == (float, type(None), int)
    assert kinds_of(int) == (int,)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps=many", "train.steps='many'"),
        ("train.schedule=linear", "schedule='linear' is not known"),
        ("objective.crops=3", "crops"),
        ("objectve=moa", "did you mean objective=?"),
        ("out=/proc/none", "Nothing can be written to the folder '/proc/none'"),
    ],
)
def test_the_command_ends_in_one_paragraph(bank: Path, tmp_path: Path, override: str, message: str) -> None:
    words = [*small(bank), f"out={tmp_path / 'out'}", "train.steps=1", override]
    done = subprocess.run([sys.executable, "-m", "moa.train", *words], capture_output=True, text=True)
    assert done.returncode != 0 and "Traceback" not in done.stderr and message in done.stderr
