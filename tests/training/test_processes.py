"""Two processes on gloo learn what one does, and one file set is written."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from moa.training import checkpoint
from moa.training.loop import train

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
