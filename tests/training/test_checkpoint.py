"""Nothing that was saved is lost, wherever a save is cut off; damage is found and named."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from moa.training import checkpoint
from moa.training.checkpoint import MANIFEST, Checkpoint, Disk, latest, load, save


def one(value: float) -> Checkpoint:
    return Checkpoint(tensors={"trainable": {"w": torch.full((3,), value)}}, state={"step": int(value)})


def value(path: Path) -> float:
    return float(load(path).tensors["trainable"]["w"][0])


class FailingDisk(Disk):
    """Raises at operation number `at`, before or after doing it; a cut write leaves half of the file."""

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    def _do(self, action: object, *arguments: object) -> None:
        self.count += 1
        if self.count == self.at and not self.after:
            raise OSError(errno.ENOSPC, "No space left on device")
        action(*arguments)
        if self.count == self.at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def mkdir(self, path: Path) -> None:
        self._do(super().mkdir, path)

    def write(self, path: Path, data: bytes) -> None:
        if self.count + 1 == self.at and not self.after:
            path.write_bytes(data[: len(data) // 2])
        self._do(super().write, path, data)

    def sync(self, folder: Path) -> None:
        self._do(super().sync, folder)

    def rename(self, old: Path, new: Path) -> None:
        self._do(super().rename, old, new)

    def remove(self, folder: Path) -> None:
        self._do(super().remove, folder)


def operations(folder: Path, step: int, keep: int) -> int:
    disk = FailingDisk(at=-1, after=False)
    for earlier in (1, 2):
        save(folder, earlier, one(earlier), keep=keep)
    save(folder, step, one(3), keep=keep, disk=disk)
    shutil.rmtree(folder)
    return disk.count


@pytest.mark.parametrize(("step", "keep", "whole"), [(3, 1, (2.0, 3.0)), (2, 2, (1.0, 2.0, 3.0))], ids=["a new step", "a step again"])
def test_every_crash_point_loses_no_other_step(tmp_path: Path, step: int, keep: int, whole: tuple[float, ...]) -> None:
    points = operations(tmp_path / "count", step, keep)
    assert points >= 12  # mkdir, 3 times write and sync, sync, rename, sync, and one renamed aside, before or after, and removed
    for at in range(1, points + 1):
        for after in (False, True):
            folder = tmp_path / f"{at}-{after}"
            for earlier in (1, 2):
                save(folder, earlier, one(earlier), keep=keep)
            with pytest.raises(OSError, match="No space left"):
                save(folder, step, one(3), keep=keep, disk=FailingDisk(at, after))
            assert value(latest(folder)) in whole
            save(folder, 4, one(4), keep=1)
            assert value(latest(folder)) == 4.0
            assert [path.name for path in folder.iterdir()] == ["step_00000004"]


def test_keeps_the_newest(tmp_path: Path) -> None:
    for step in range(1, 6):
        save(tmp_path, step, one(step), keep=2)
    assert [value(path) for path in checkpoint.step_folders(tmp_path)] == [4.0, 5.0]
    with pytest.raises(ValueError, match="keep=0"):
        save(tmp_path, 6, one(6), keep=0)


@pytest.mark.parametrize("file", ["trainable.safetensors", "state.json"])
def test_a_flipped_bit_is_named_and_skipped(tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1, one(1), keep=3)
    path = save(tmp_path, 2, one(2), keep=3) / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=f"{file} is not what was saved"):
        load(path.parent)
    assert value(latest(tmp_path)) == 1.0
    assert file in caplog.text


def test_missing_short_and_unfinished_files_are_named(tmp_path: Path) -> None:
    path = save(tmp_path, 1, one(1), keep=1)
    file = path / "trainable.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="trainable.safetensors has .* bytes where"):
        load(path)
    file.unlink()
    with pytest.raises(ValueError, match="trainable.safetensors is missing"):
        load(path)
    (path / MANIFEST).write_text(json.dumps([]))
    with pytest.raises(ValueError, match="cannot be read as a manifest"):
        load(path)
    (path / MANIFEST).unlink()
    with pytest.raises(ValueError, match="never finished"):
        load(path)
    assert latest(tmp_path) is None


def test_a_broken_folder_of_the_same_step_gives_way(tmp_path: Path) -> None:
    (tmp_path / "step_00000001").mkdir()
    assert value(save(tmp_path, 1, one(1), keep=1)) == 1.0
