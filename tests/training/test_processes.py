"""Two processes on gloo learn what one does, and one file set is written."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from moa.training import checkpoint
from moa.training.loop import train
from moa.training.processes import LAUNCHED, process_count

from toys import Ramp, Toy

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from toys import Ramp, Toy
from moa.training.loop import train
from moa.training.tracking import Jsonl
settings = dict(batch_size=8, learning_rate=0.05, accumulate=2, ema_decay=0.9, log_every=1, cpu=True, trackers=[Jsonl()], out={out!r})
list(train(Toy(noisy=False), Ramp(), steps=3, checkpoint_every=2, validate_every_minutes=0.0, **settings))
list(train(Toy(noisy=False), Ramp(), steps=6, resume="latest", **settings))
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    code = SCRIPT.format(tests=str(Path(__file__).parent), out=str(tmp_path / "two"))
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
    list(train(Toy(noisy=False), Ramp(), out=tmp_path / "one", batch_size=8, learning_rate=0.05, ema_decay=0.9, steps=6, cpu=True))
    one, two = (checkpoint.load(checkpoint.latest(tmp_path / name / "checkpoints")) for name in ("one", "two"))
    for group in ("trainable", "average"):
        for name, tensor in one.tensors[group].items():
            torch.testing.assert_close(two.tensors[group][name], tensor, rtol=1e-5, atol=1e-6)
    lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert all("low" in line for line in lines if "loss" in line)  # a part that at times only one of the processes has


JOINED = """
import os, sys
from moa.training.processes import together
import torch
before = torch.get_num_threads()
with together(2):
    from accelerate import PartialState
    from accelerate.utils import gather_object
    if os.environ["RANK"] == "1" and sys.argv[1] == "fail":
        raise SystemExit("out of luck")
    if os.environ["RANK"] == "0" and sys.argv[1] == "bad":
        raise ValueError("bad setting")
    both = gather_object([(PartialState(cpu=True).process_index, torch.get_num_threads(), before, os.getpid())])
    PartialState().wait_for_everyone()
print(both)
"""


def joined(tmp_path: Path, word: str) -> subprocess.CompletedProcess:
    script = tmp_path / "joined.py"
    script.write_text(JOINED)
    environment = {name: value for name, value in os.environ.items() if name not in (*LAUNCHED, "OMP_NUM_THREADS")}
    return subprocess.run([sys.executable, script, word], env=environment, capture_output=True, text=True, timeout=200)


def test_this_process_and_a_copy_of_its_command_join(tmp_path: Path) -> None:
    done = joined(tmp_path, "go")
    assert done.returncode == 0, done.stderr
    (first, threads, before, one), (second, *_, other) = eval(done.stdout)  # the copy's own line is kept back
    assert (first, second) == (0, 1) and one != other
    assert threads == max(1, before // 2)
    assert not Path(f"/proc/{other}").exists()


def test_the_failure_of_a_copy_is_told(tmp_path: Path) -> None:
    done = joined(tmp_path, "fail")
    assert done.returncode == 2 and "error: A training process failed (exit codes of the copies [1]): out of luck" in done.stderr
    assert "processes=1" in done.stderr


def test_an_error_here_ends_the_copy(tmp_path: Path) -> None:
    started = time.monotonic()
    done = joined(tmp_path, "bad")
    assert done.returncode == 1 and "ValueError: bad setting" in done.stderr and time.monotonic() - started < 100


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 8 if logical else 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * 2**30))


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 4),
        ({"prior": None}, 4),
        ({"asked": 2}, 2),
        ({"batch_size": 6}, 3),
        ({"batch_size": 8, "accumulate": 4}, 2),
        ({"batch_size": 7}, 1),
        ({"prior": "stable-diffusion-v1-5/stable-diffusion-v1-5"}, 1),
    ],
)
def test_how_many_processes(four_cores: None, settings: dict, count: int) -> None:
    assert process_count(**{"asked": "auto", "batch_size": 16, "accumulate": 1, "prior": "models/tiny", "cpu": False} | settings) == count


def test_memory_bounds_the_processes(four_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=7 * 2**30))
    assert process_count("auto", batch_size=16, accumulate=1, prior=None, cpu=False) == 2


def test_a_launcher_or_a_gpu_decides_itself(four_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert process_count("auto", batch_size=16, accumulate=1, prior=None, cpu=False) == 1
    assert process_count("auto", batch_size=16, accumulate=1, prior=None, cpu=True) == 4
    with pytest.raises(ValueError, match="accelerate launch --num_processes 2"):
        process_count(2, batch_size=16, accumulate=1, prior=None, cpu=False)
    monkeypatch.setenv("RANK", "0")
    assert process_count("auto", batch_size=16, accumulate=1, prior=None, cpu=True) == 1


@pytest.mark.parametrize("asked", [0, -1, 1.5, "two", True])
def test_an_impossible_number_is_refused(four_cores: None, asked: object) -> None:
    with pytest.raises(ValueError, match="give auto, or a whole number"):
        process_count(asked, batch_size=16, accumulate=1, prior=None, cpu=True)
