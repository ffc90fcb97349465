"""Several processes on one machine without a GPU, which learn from half as many examples again as one process with several threads."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil
import torch

from moa.places import find_model

SMALL = 2**30  # bytes of a prior's folder
MEMORY = 3 * 2**30  # bytes for a process with a small prior
GRACE = 10  # seconds in which a failure elsewhere should have shown here
LAUNCHED = ("RANK", "WORLD_SIZE", "ACCELERATE_MIXED_PRECISION")  # set by torchrun and accelerate launch


def process_count(asked: int | str, *, batch_size: int, accumulate: int, prior: str | None, cpu: bool) -> int:
    """How many processes train: as many as asked for, or for "auto" one a core, as far as the batch can be divided and memory lasts.

    "auto" is one on a GPU, under a launcher, and with a prior that is not small or not on this disk. `prior` is its path, or None.
    Errors: ValueError where `asked` is neither "auto" nor a number from 1 on, or is more than 1 on a GPU.
    """
    on_gpu = torch.cuda.is_available() and not cpu
    if any(name in os.environ for name in LAUNCHED):
        return 1
    if asked != "auto":
        if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
            raise ValueError(f"processes={asked!r} is no number of processes; give auto, or a whole number from 1 on")
        if on_gpu and asked > 1:
            raise ValueError(f"processes={asked} is for CPUs; on GPUs start them with accelerate launch --num_processes {asked} train.py ..., or set train.cpu=true")
        return asked
    if on_gpu or sys.platform == "win32" or not is_small(prior):
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count()
    most = min(usable, psutil.cpu_count(logical=False) or usable, psutil.virtual_memory().available // MEMORY)
    return next((n for n in range(most, 1, -1) if batch_size % (n * accumulate) == 0), 1)


def is_small(prior: str | None) -> bool:
    """Whether a prior is on this disk and small; no prior is."""
    if prior is None:
        return True
    folder = Path(find_model(prior))
    return folder.is_dir() and sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < SMALL


@contextmanager
def together(count: int) -> Iterator[None]:
    """Runs the body in `count` processes joined by gloo: in this one, the first, and in copies that repeat the command that started it.

    The threads are shared out. A copy's output is kept back, and told if it fails; all copies have ended when the context has. In a copy
    this does nothing. Errors: ChildProcessError where another process failed and took this one down.
    """
    if count == 1 or "RANK" in os.environ:
        yield
        return
    threads = max(1, torch.get_num_threads() // count)
    torch.set_num_threads(threads)
    os.environ |= _rendezvous(count, threads) | _rank(0)
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, *sys.orig_argv[1:]]
        others = [subprocess.Popen(command, env=os.environ | _rank(i), stdout=output, stderr=output) for i in range(1, count)]
        over = threading.Event()
        threading.Thread(target=_watch, args=(others, output, over), daemon=True).start()
        try:
            yield
            for other in others:
                other.wait()
        except (ValueError, OSError):
            raise
        except Exception as error:
            if (failure := _failure(others, output)) is None:
                raise
            raise ChildProcessError(failure) from error
        finally:
            over.set()
            for other in others:
                other.kill()
                other.wait()


def _watch(others: list[subprocess.Popen], output: BinaryIO, over: threading.Event) -> None:
    """Ends this process if a copy has failed and it has not noticed: it would wait half an hour for the copy to turn up."""
    while not over.wait(1):
        if (failure := _failure(others, output)) and not over.wait(GRACE):
            print(f"error: {failure}", file=sys.stderr, flush=True)
            os._exit(2)


def _failure(others: list[subprocess.Popen], output: BinaryIO) -> str | None:
    """What went wrong in the copies, if something did."""
    codes = [other.poll() for other in others]
    if not any(codes):
        return None
    end = os.fstat(output.fileno()).st_size
    said = os.pread(output.fileno(), 4096, max(0, end - 4096)).decode(errors="replace").strip().splitlines()
    return f"A training process failed (exit codes of the copies {codes}): {said[-1] if said else 'it said nothing'}. If memory is short, give processes=1."


def _rank(number: int) -> dict[str, str]:
    return {"RANK": str(number), "LOCAL_RANK": str(number)}


def _rendezvous(count: int, threads: int) -> dict[str, str]:
    """What the processes must know to find each other, by the loopback interface alone."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "ACCELERATE_USE_CPU": "true",
    }
