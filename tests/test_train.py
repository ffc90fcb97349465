"""The training command: its settings, its errors, its folders."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from commands import typed
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tqdm import tqdm

from moa import training_run
from moa.cli import CONF
from moa.training import checkpoint
from moa.training.loop import Report, train
from moa.training_run import check_export, follow, run, run_folder
from moa.training_settings import check_loop, check_nodes, kinds_of

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
    check_loop(settings, train)
    assert config.name == experiment and config.subject is None if "subject" in config else True


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_opens_with_its_command(experiment: str) -> None:
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[1] == f"# python train.py experiment={experiment}"


def test_paths_are_taken_as_typed(bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "my run (1), first"
    done = subprocess.run(
        [sys.executable, "-m", "moa.train", *small(bank), f"out={out}", f"train.export={tmp_path / 'vae'}", "train.steps=1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "metrics.jsonl").exists()


def test_trains_and_resumes(bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for steps, resume in ((2, "none"), (3, "latest")):
        run(composed(*small(bank), f"out={out}", f"train.steps={steps}", f"resume={resume}", f"train.export={tmp_path / 'vae'}"))
    assert checkpoint.latest(out / "checkpoints").name == "step_00000003"
    assert (tmp_path / "vae" / "config.json").exists() and (out / "config.yaml").exists()
    assert [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "many"}, r"train.batch_size='many' is of kind str; int is needed"),
        ({"batch_size": True}, r"train.batch_size=True is of kind bool"),
        ({"ema_decay": "x"}, r"float or int or null is needed"),
        ({"bach_size": 3}, r"train.bach_size is no setting; did you mean train.batch_size\?"),
        ({"batch_size": 0}, r"train.batch_size=0 cannot be used; give a whole number from 1"),
        ({"accumulate": 0}, r"train.accumulate=0 cannot be used"),
        ({"log_every": 0}, r"train.log_every=0 cannot be used"),
        ({"checkpoint_every": 0}, r"train.checkpoint_every=0 cannot be used"),
        ({"keep": 0}, r"train.keep=0 cannot be used"),
        ({"workers": -1}, r"train.workers=-1 cannot be used"),
        ({"warmup_steps": -5}, r"train.warmup_steps=-5 cannot be used"),
        ({"max_minutes": -1}, r"train.max_minutes=-1 cannot be used; give a number from 0"),
        ({"max_minutes": float("nan")}, r"train.max_minutes=nan cannot be used"),
        ({"learning_rate": -1e-3}, r"train.learning_rate=-0.001 cannot be used"),
        ({"clip_norm": 0.0}, r"train.clip_norm=0.0 cannot be used"),
        ({"schedule": "linear"}, r"train.schedule='linear' is unknown; choose one of constant, cosine, trapezoid"),
        ({"precision": "fp8"}, r"train.precision='fp8' is unknown; choose one of auto, no, bf16, fp16"),
        ({"steps": None}, r"neither steps nor max_minutes is given"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_loop({"steps": 1} | settings, train)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective.router_weight=abc", r"objective.router_weight='abc' is of kind str; float or int is needed"),
        ("objective.late=3", r"objective.late=3 is of kind int; bool is needed"),
        ("where.tokens=many", r"objective.where.tokens='many' is of kind str; int is needed"),
        ("data.count=two", r"data.count='two' is of kind str; list"),
        ("data.size=null", r"data.size=None is of kind NoneType; int is needed"),
    ],
)
def test_wrong_settings_of_what_will_be_built_are_named(override: str, message: str) -> None:
    config = composed("name=test", override)
    with pytest.raises(ValueError, match=message):
        for name in ("data", "objective", "tracker"):
            check_nodes(OmegaConf.to_container(config[name], resolve=True), name)


def test_kinds() -> None:
    assert kinds_of(float | None) == (float, int, type(None))
    assert kinds_of(int) == (int,) and kinds_of(Sequence[int]) == (list,) and kinds_of(str | Path) == (str, Path, str)
    assert kinds_of(Callable[[int], int]) == (Callable,) and kinds_of("unknown") == (object,)


def test_an_export_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    check_export(None)
    check_export(str(tmp_path / "new" / "adapter"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        check_export(str(tmp_path / "file"))
    with pytest.raises(
        ValueError, match=r"train.export='/proc/moa/x' cannot be made: Nothing can be written .* give another with train.export="
    ):
        check_export("/proc/moa/x")


@pytest.mark.parametrize(("steps", "minutes", "shown"), [(4, None, "2/4 steps"), (None, 8.0, "3.0/8 min")])
def test_the_progress_bar_knows_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys, steps: int | None, minutes: float | None, shown: str
) -> None:
    monkeypatch.setattr(training_run, "tqdm", partial(tqdm, mininterval=0, miniters=0))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    follow((Report(step, 0.5, {"router": 0.25}, 1e-3, 1.0, 8.0, 1.5 * step) for step in (1, 2)), steps, minutes)
    said = capsys.readouterr().err
    assert shown in said and "loss=0.5" in said and "router=0.25" in said and "<" in said


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps=many", "train.steps='many'"),
        ("objective.crop=wide", "objective.crop='wide'"),
        ("experiment=nope", "There is no experiment 'nope'; choose one of constant_router,"),
        ("+nonsense=1", "There is no setting 'nonsense'"),
        ("router=nope", "There is no router 'nope'; choose one of constant, conv,"),
        ("train.betas=[1,2", "'train.betas=[1,2' cannot be read"),
        ("train.seed=${nothing}", "nothing"),
        ("objective.crops=3", "crops"),
        ("objectve=moa", "did you mean objective=?"),
        ("resume=none/000001", "resume='none/000001': there is no such checkpoint"),
        ("out=/proc/none", "Nothing can be written to the folder '/proc/none'"),
    ],
)
def test_the_command_ends_in_one_paragraph(bank: Path, tmp_path: Path, capfd, override: str, message: str) -> None:
    words = [
        word for word in [*small(bank), f"out={tmp_path / 'out'}", "train.steps=1"] if word.partition("=")[0] != override.partition("=")[0]
    ]
    words = words[1:] + [override] if override.startswith("experiment=") else [*words, override]
    assert typed("train.py", words, tmp_path) == 2
    said = capfd.readouterr().err
    assert "Traceback" not in said and message in said
    assert said.count("\n") == 1 and "HYDRA_FULL_ERROR" not in said, said
    assert not (tmp_path / "out").exists(), "an empty folder is left"
