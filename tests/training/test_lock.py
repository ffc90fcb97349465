"""One training at a time in a folder, and no folder that a dead one keeps."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moa.training import lock
from moa.training.lock import FolderLock

HOLDER = """
import sys, time
from pathlib import Path
from moa.training.lock import FolderLock
held = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
held.release()
print("free", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_and_free_after_its_end(tmp_path: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(
        ValueError, match=rf"{tmp_path} is in use by a training \(process {holder.pid} on .*, since 2.*another folder with out="
    ):
        FolderLock(tmp_path)
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "free\n" and not list(tmp_path.iterdir())
    held = FolderLock(tmp_path)
    held.release()
    held.release()
    assert not list(tmp_path.iterdir())


def test_a_killed_process_keeps_no_folder(tmp_path: Path, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    FolderLock(tmp_path).release()


def test_a_lock_that_is_taken_away_between_opening_and_locking_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, taken = lock._take, []

    def late(file) -> None:
        if not taken:
            (tmp_path / ".lock").unlink()
        taken.append(file)
        take(file)

    monkeypatch.setattr(lock, "_take", late)
    held = FolderLock(tmp_path)
    assert len(taken) == 2 and (tmp_path / ".lock").exists()
    held.release()


def test_a_disk_without_locks_is_used_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(file) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_take", none)
    FolderLock(tmp_path).release()
    assert "cannot be locked" in caplog.text
