"""Two processes on gloo learn what one does, and one file set is written."""

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from moa.training import checkpoint
from moa.training.lock import FolderLock
from moa.training.loop import train
from moa.training.optimizer import adamw, muon
from moa.where import MoAAdapter

from toys import Ramp, Toy

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, sys
sys.path.insert(0, {tests!r})
from safetensors.torch import save_model
from test_processes import OPTIMIZERS
from toys import Ramp, Toy
from moa.training.loop import train
from moa.training.tracking import Jsonl
settings = dict(batch_size=8, learning_rate=0.05, accumulate=2, ema_decay=0.9, log_every=1, cpu=True, trackers=[Jsonl()], out={out!r})
settings["optimizer"] = OPTIMIZERS[{optimizer!r}]
list(train(Toy(noisy=False, kernel={optimizer!r} == "muon"), Ramp(), steps=3, checkpoint_every=2, validate_every_minutes=0.0, **settings))
toy = Toy(noisy=False, kernel={optimizer!r} == "muon")
list(train(toy, Ramp(), steps=6, resume="latest", **settings))
save_model(toy, {out!r} + "/rank" + os.environ["RANK"] + ".safetensors")
"""
OPTIMIZERS = {"adamw": adamw, "muon": partial(muon, adam_learning_rate=0.02)}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize(("optimizer", "error"), [("adamw", 1e-6), ("muon", 1e-2)])
def test_two_processes_equal_one(tmp_path: Path, optimizer: str, error: float) -> None:
    """Muon gives the smallest singular values of a gradient, which hold rounding, full steps."""
    tests = str(Path(__file__).parent)
    code = SCRIPT.format(tests=tests, out=str(tmp_path / "two"), optimizer=optimizer)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | shared | {"RANK": str(r), "LOCAL_RANK": str(r)}) for r in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    settings = dict(batch_size=8, learning_rate=0.05, ema_decay=0.9, steps=6, cpu=True)
    toy = Toy(noisy=False, kernel=optimizer == "muon")
    list(train(toy, Ramp(), out=tmp_path / "one", optimizer=OPTIMIZERS[optimizer], **settings))
    first, second = (load_file(tmp_path / "two" / f"rank{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    one, two = (checkpoint.load(checkpoint.latest(tmp_path / name / "checkpoints")) for name in ("one", "two"))
    for group in ("trainable", "average"):
        for name, tensor in one.tensors[group].items():
            torch.testing.assert_close(two.tensors[group][name], tensor, rtol=1e-5, atol=error)
    lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert all("low" in line for line in lines if "loss" in line)  # a part that at times only one of the processes has


STOPPED = """
import sys
sys.path.insert(0, {tests!r})
from toys import Ramp, Toy
from moa.cli import plain_errors
from moa.training.loop import train
settings = dict(batch_size=8, learning_rate=0.05, steps={steps}, ema_decay=0.9, cpu=True, out={out!r})
with plain_errors():
    for report in train(Toy(pause={pause}), Ramp(), resume="latest", **settings):
        print(report.step, flush=True)
"""


def torchrun(out: Path, *, steps: int, pause: float = 0.0) -> subprocess.Popen:
    """Two processes under the launcher, in a group of their own as a scheduler's job is."""
    script = out.with_suffix(".py")
    script.write_text(STOPPED.format(tests=str(Path(__file__).parent), out=str(out), steps=steps, pause=pause))
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(free_port()), str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, *launch], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_of(launcher: int) -> list[int]:
    """The processes that a launcher started."""
    listed = subprocess.run(["ps", "--ppid", str(launcher), "-o", "pid="], capture_output=True, text=True, check=True)
    return [int(number) for number in listed.stdout.split()]


def stopped(out: Path, number: signal.Signals, whom: str) -> int:
    """Two processes in the middle of a run get a signal; the step that they saved, after what they said is checked."""
    launcher = torchrun(out, steps=10_000, pause=0.1)
    while launcher.stdout.readline() != "3\n":
        assert launcher.poll() is None, launcher.stderr.read()
    ranks = processes_of(launcher.pid)
    assert len(ranks) == 2
    for process in {"launcher": [launcher.pid], "everybody": [*ranks, launcher.pid], "one process": ranks[1:]}[whom]:
        os.kill(process, number)
    said = launcher.communicate(timeout=300)[1]
    step = checkpoint.step_of(checkpoint.latest(out / "checkpoints"))
    assert launcher.returncode != 0 and 4 <= step < 10_000
    assert said.count(f"stopped at step {step}, which is saved in") == 1 and "error:" not in said, said
    assert not (out / ".lock").exists()
    return step


@pytest.mark.parametrize(("number", "whom"), [(signal.SIGINT, "launcher"), (signal.SIGTERM, "one process")])
def test_a_signal_saves_the_step_of_both_processes(tmp_path: Path, number: signal.Signals, whom: str) -> None:
    stopped(tmp_path / "run", number, whom)


def test_two_stopped_processes_go_on_to_the_same_bits(tmp_path: Path) -> None:
    """The launcher hands on what it gets, so that a scheduler that tells everybody tells each process twice."""
    step = stopped(tmp_path / "cut", signal.SIGTERM, "everybody")
    for name in ("cut", "whole"):
        ended = torchrun(tmp_path / name, steps=step + 2)
        said = ended.communicate(timeout=300)[1]
        assert ended.returncode == 0, said
    cut, whole = (checkpoint.load(checkpoint.latest(tmp_path / name / "checkpoints")) for name in ("cut", "whole"))
    assert all(torch.equal(tensor, cut.tensors[group][name]) for group in whole.tensors for name, tensor in whole.tensors[group].items())


def test_a_refusal_ends_all_processes(tmp_path: Path) -> None:
    """A folder that is in use: the first process alone finds out, and the others do not wait for it."""
    held = FolderLock(tmp_path / "out")
    launcher = torchrun(tmp_path / "out", steps=2)
    said = launcher.communicate(timeout=120)[1]
    held.release()
    assert launcher.returncode != 0 and f"is in use by a training (process {os.getpid()}" in said


def test_the_training_command_in_two_processes(model_folder, tmp_path: Path) -> None:
    """Adapters by `accelerate launch`, at times without a subject in a process's half of the batch; the folder is chosen by one for both."""
    words = [
        f"prior.path={model_folder('sd15')}", "name=two", "data.size=32", "validation.size=32", "data.plain=0.7", "where.fusion_width=32", "objective.previews=1",
        "train.batch_size=2", "train.max_minutes=null", "train.steps=6", "train.log_every=1", "train.validate_every_minutes=null", "train.workers=0", "train.cpu=true", "train.precision=no",
    ]  # fmt: skip
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        str(free_port()),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *launch, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (out,) = (tmp_path / "outputs" / "two").iterdir()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {"denoising", "router", "object", "mass_inside"} <= lines[-1].keys()
    assert MoAAdapter.from_pretrained(out / "export").config.noun == "person"
    saved = checkpoint.load(checkpoint.latest(out / "checkpoints"))
    assert saved.state["step"] == 6 and all(torch.isfinite(tensor).all() for tensor in saved.tensors["trainable"].values())
