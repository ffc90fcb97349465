"""The training command: its settings, its errors, its folders."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import typed
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import load_file
from tqdm import tqdm

from moa import training_run
from moa.cli import CONF
from moa.training import checkpoint
from moa.training.loop import OPTIMIZER_ARGUMENTS, Report, train
from moa.training_run import check_export, follow, run
from moa.training_settings import check_loop, check_nodes, check_partial, identity, kinds_of

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


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


OTHER_RUNS = {  # what is typed for the second command: what the refusal says of both
    "a seed": (["train.seed=1"], "trained with train.seed=0; the settings say train.seed=1"),
    "a loss": (["objective.kl_weight=0.5"], "trained with objective.kl_weight=0.0001; the settings say objective.kl_weight=0.5"),
    "less data": (["data.count=6"], "trained with data.count=8; the settings say data.count=6"),
    "other data": (["data.path=other.npy"], r"trained with data.path=\S+bank.npy; the settings say data.path=other.npy"),
    "another network": (
        ["objective.autoencoder.layers=2"],
        "objective.autoencoder.layers=1; the settings say objective.autoencoder.layers=2",
    ),
    "several": (["train.seed=1", "data.count=6"], "data.count=8, train.seed=0; the settings say data.count=6, train.seed=1"),
}
SAME_RUNS = {  # and a word of what changed, if there is one
    "longer": (["train.steps=3"], ""),
    "by the clock too": (["train.max_minutes=60"], ""),
    "other intervals": (["train.log_every=2", "train.checkpoint_minutes=1", "train.keep=1", "train.validate_every_minutes=null"], ""),
    "another validation": (["+objective.validation.seed=4", "data.workers=1"], ""),
    "other batches": (["train.batch_size=4"], "was trained with batch_size=2; it goes on with batch_size=4"),
    "another rate": (["train.learning_rate=1e-4"], "was trained with learning_rate=0.0015; it goes on with learning_rate=0.0001"),
}


@pytest.fixture
def begun(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of one step, in a folder of runs."""
    monkeypatch.chdir(tmp_path)
    run(composed(*small(bank), "train.steps=1"))
    (out,) = Path("outputs/tiny_autoencoder").iterdir()
    return out.absolute()


@pytest.mark.parametrize(("case", "chosen"), [*((case, "latest") for case in OTHER_RUNS), ("a seed", "latest in out"), ("a seed", "path")])
def test_another_run_is_refused_and_nothing_is_written(bank: Path, begun: Path, tmp_path: Path, case: str, chosen: str) -> None:
    words, message = OTHER_RUNS[case]
    Path("other.npy").write_bytes(bank.read_bytes())
    Path("other.json").write_bytes(bank.with_suffix(".json").read_bytes())
    resume = {
        "latest": ["resume=latest"],
        "latest in out": ["resume=latest", f"out={begun}"],
        "path": [f"resume={begun / 'checkpoints' / 'step_00000001'}"],
    }[chosen]
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=f"is of another run: it was {message}" if "trained" in message else message):
        run(composed(*small(bank), "train.steps=2", *words, *resume))
    assert files_of(tmp_path) == before and list(begun.parent.iterdir()) == [begun]


@pytest.mark.parametrize("case", SAME_RUNS)
def test_the_same_run_goes_on(bank: Path, begun: Path, caplog: pytest.LogCaptureFixture, case: str) -> None:
    words, message = SAME_RUNS[case]
    caplog.set_level("WARNING", logger="moa")
    run(composed(*small(bank), "train.steps=2", *words, "resume=latest"))
    assert list(begun.parent.iterdir()) == [begun]
    assert checkpoint.latest(begun / "checkpoints").name == ("step_00000003" if case == "longer" else "step_00000002")
    said = [record.getMessage() for record in caplog.records if "it goes on with" in record.getMessage()]
    assert len(said) == bool(message) and all(message in text for text in said)


def test_the_newest_of_the_same_run_goes_on(bank: Path, begun: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Runs of other settings, of none and without checkpoints lie between."""
    run(composed(*small(bank), "train.steps=1", "train.seed=1"))
    last = begun.with_name("9999")
    (last / "checkpoints" / "step_00000001").mkdir(parents=True)
    begun.with_name("9998").mkdir()
    begun.with_name("9997").write_text("a file")
    run(composed(*small(bank), "train.steps=2", "resume=latest"))
    assert checkpoint.latest(begun / "checkpoints").name == "step_00000002"
    assert f"going on with {begun.relative_to(Path.cwd())}: what is newer" in caplog.text


def test_a_path_is_the_same_in_other_words(bank: Path, begun: Path) -> None:
    run(composed(*small(Path("bank.npy")), "train.steps=2", "resume=latest"))
    assert checkpoint.latest(begun / "checkpoints").name == "step_00000002"


def test_a_second_run_of_the_same_settings_gets_a_folder_of_its_own(bank: Path, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also within the same second."""
    now = SimpleNamespace(now=lambda: datetime.strptime(begun.name, "%Y-%m-%d_%H-%M-%S"))
    monkeypatch.setattr(training_run, "datetime", now)
    before = files_of(begun)
    run(composed(*small(bank), "train.steps=1"))
    assert files_of(begun) == before
    assert {path.name for path in begun.parent.iterdir()} == {begun.name, f"{begun.name}_2"}
    one, two = (checkpoint.load(checkpoint.latest(path / "checkpoints")).tensors for path in begun.parent.iterdir())
    assert all(torch.equal(tensor, two[group][name]) for group in one for name, tensor in one[group].items())  # from the same start


def test_a_second_run_in_a_folder_that_holds_one_is_refused_and_nothing_is_written(bank: Path, begun: Path, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=r"already holds checkpoints \(step_00000001\)"):
        run(composed(*small(bank), "train.steps=1", "train.log_every=7", f"out={begun}"))
    assert files_of(tmp_path) == before


def test_the_identity_of_a_run_is_what_learns_from_what() -> None:
    config = composed("name=test", "subject=folder", "data.path=rex", "noun=dog", "router=conv", "train.seed=4")
    found = identity(OmegaConf.to_container(config, resolve=False), OmegaConf.to_container(config, resolve=True), seed=4)
    assert found.items() >= {
        "train.seed": 4, "noun": "dog", "data": "FolderSubjects", "data.path": "rex", "data.flip": True, "prior.path": "models/tiny",
        "where": "for_unet", "where.tokens": 4, "router": "ConvRouter", "router.hidden": 64, "objective.background": "prior",
    }.items()  # fmt: skip
    odd = ("objective.prior", "objective.where", "objective.validation", "objective.previews", "where.router", "data.noun")
    assert not [name for name in found if name.startswith(odd) or "train." in name and name != "train.seed"]


LONG = ["train.steps=100000", "train.schedule=constant", "train.checkpoint_every=1", "train.validate_every_minutes=null"]


def started(bank: Path, out: Path, *words: str) -> subprocess.Popen:
    """A training in a process of its own, once it has saved a step."""
    command = [sys.executable, "-m", "moa.train", *small(bank), *LONG, f"out={out}", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while not checkpoint.step_folders(out / "checkpoints"):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_stopped_run_says_so_goes_on_and_exports(bank: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """While it runs, a second one in its folder is refused; after it, the same bits follow as if it had never stopped."""
    cut, vae = tmp_path / "cut", tmp_path / "vae"
    process = started(bank, cut, f"train.export={vae}")
    process.send_signal(signal.SIGSTOP)  # so that it takes few steps
    config = (cut / "config.yaml").read_bytes()
    with pytest.raises(ValueError, match=f"is in use by a training .process {process.pid} on"):
        run(composed(*small(bank), *LONG, f"out={cut}", "resume=latest"))
    assert (cut / "config.yaml").read_bytes() == config
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == code and not vae.exists()
    step = checkpoint.step_of(checkpoint.latest(cut / "checkpoints"))
    if number != signal.SIGKILL:
        assert said[-1].startswith(f"stopped at step {step}, which is saved in {cut / 'checkpoints'}")
        assert f"nothing was written to {vae}" in said[-1] and "resume=latest train.steps=0" in said[-1]
        assert "Traceback" not in "".join(said)
    run(composed(*small(bank), *LONG, f"out={cut}", f"train.export={vae}", "resume=latest", "train.steps=0"))
    exported = load_file(vae / "diffusion_pytorch_model.safetensors")  # the averages
    saved = checkpoint.load(checkpoint.latest(cut / "checkpoints"))
    assert saved.state["step"] == step
    assert {f"autoencoder.{name}" for name in exported} == saved.tensors["average"].keys()
    assert all(torch.equal(tensor, saved.tensors["average"][f"autoencoder.{name}"]) for name, tensor in exported.items())
    for out, words in ((cut, ["resume=latest"]), (tmp_path / "whole", [])):
        run(composed(*small(bank), *LONG, f"out={out}", f"train.steps={step + 2}", *words))
    one, other = (checkpoint.load(checkpoint.latest(path / "checkpoints")).tensors for path in (cut, tmp_path / "whole"))
    assert all(torch.equal(tensor, other[group][name]) for group in one for name, tensor in one[group].items())


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


MUON = [
    "train.optimizer._target_=moa.training.optimizer.muon",
    "+train.optimizer.adam_learning_rate=0.002",
]


def optimizer_of(*overrides: str) -> dict[str, object]:
    return OmegaConf.to_container(composed(*overrides).train.optimizer, resolve=True)


@pytest.mark.parametrize("overrides", [[], [*MUON, "+train.optimizer.exclude=[unet.conv_in]"]])
def test_the_optimizers_are_taken(overrides: list[str]) -> None:
    check_partial("train.optimizer", optimizer_of(*overrides), OPTIMIZER_ARGUMENTS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (MUON[:1], r"missing a required.*'adam_learning_rate'; it takes adam_learning_rate, mom"),
        ([*MUON, "+train.optimizer.nesterov=true"], r"unexpected keyword argument 'nesterov'"),
        ([*MUON, "+train.optimizer.betas=[0,0]"], r"multiple values.*; change train.optimizer"),
        ([*MUON, "+train.optimizer.min_channels=x"], r"min_channels='x' is of kind str; int is"),
        (["+train.optimizer.momentum=0.9"], r"'momentum'; it takes nothing here"),
    ],
)
def test_wrong_settings_of_the_optimizer_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_partial("train.optimizer", optimizer_of(*overrides), OPTIMIZER_ARGUMENTS)


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
