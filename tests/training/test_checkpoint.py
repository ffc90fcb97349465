"""Nothing that was saved is lost, wherever a save is cut off; damage is found and named."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from moa.training import checkpoint, manifest
from moa.training.checkpoint import MANIFEST, Checkpoint, Disk, latest, load, load_state, save


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


def test_a_flipped_bit_in_the_manifest_is_found(tmp_path: Path) -> None:
    """Every single bit of it: what still reads is what was saved."""
    path = save(tmp_path, 1, one(1), keep=1)
    whole, refused = (path / MANIFEST).read_bytes(), 0
    for place in range(8 * len(whole)):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        (path / MANIFEST).write_bytes(bytes(data))
        try:
            assert value(path) == 1.0
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 0.98 * 8 * len(whole)


MANIFESTS = {
    "a list": [],
    "a number": 5,
    "null": None,
    "nothing": {},
    "another format": {"format_version": 1, "files": {}},
    "a format of another kind": {"format_version": "2", "files": {}},
    "files as a number": {"format_version": 2, "files": 5},
    "files as a list": {"format_version": 2, "files": ["state.json"]},
    "a file of another folder": {"format_version": 2, "files": {"../state.json": {"bytes": 1, "sha256": ""}}},
    "facts of another kind": {"format_version": 2, "files": {"state.json": [1, 2]}},
    "facts that lack the size": {"format_version": 2, "files": {"state.json": {"sha256": ""}}},
    "no state": {"format_version": 2, "files": {}},
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_of_another_form_is_named_and_skipped(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 1, one(1), keep=2)
    found = MANIFESTS[case]
    if isinstance(found, dict) and "files" in found:  # by somebody who knows how it is hashed
        found = found | {"sha256": manifest._digest(found["files"])}
    path = save(tmp_path, 2, one(2), keep=2)
    (path / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(ValueError, match=str(path)):
        load(path)
    assert value(latest(tmp_path)) == 1.0 and str(path) in caplog.text


def file(path: Path) -> None:
    path.write_text("in the way")


STRAYS = {
    "a file": (file, "step_00000009"),
    "a folder": (Path.mkdir, "step_00000009"),
    "notes": (file, "notes.txt"),
    "a folder of another name": (Path.mkdir, "best"),
    "a step that is no number": (Path.mkdir, "step_last"),
    "a short number": (Path.mkdir, "step_9"),
    "a dead link": (lambda path: path.symlink_to("nowhere"), "step_00000009"),
    "a link in a circle": (lambda path: path.symlink_to(path), "step_00000009"),
    "a leftover that is a file": (file, ".step_00000009.new-1"),
    "a manifest that is a folder": (lambda path: (path / MANIFEST).mkdir(parents=True), "step_00000009"),
    "a deep manifest": (lambda path: (path.mkdir(), (path / MANIFEST).write_text("[" * 100_000)), "step_00000009"),
    "a manifest that is no text": (lambda path: (path.mkdir(), (path / MANIFEST).write_bytes(bytes(range(256)))), "step_00000009"),
}


@pytest.mark.parametrize("case", STRAYS)
def test_what_is_no_checkpoint_is_skipped_with_a_word(tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    make, name = STRAYS[case]
    save(tmp_path, 1, one(1), keep=2)
    make(tmp_path / name)
    assert value(latest(tmp_path)) == 1.0
    assert name in caplog.text or name.startswith(".")  # leftovers of a save are removed by the next one
    assert value(save(tmp_path, 2, one(2), keep=1)) == 2.0
    assert value(latest(tmp_path)) == 2.0 and not (tmp_path / "step_00000001").exists()


def test_more_than_eight_digits_sort_by_number(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        save(tmp_path, step, one(step % 10), keep=2)
    assert latest(tmp_path).name == "step_100000000"


def damaged(path: Path) -> Path:
    (path / "state.json").write_bytes(b"{}")
    return path


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_what_was_just_saved_is_never_removed(tmp_path: Path, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    """A run that went on from step 2, since 8 and 9 are damaged, as is 1."""
    for step in (1, 2, 8, 9):
        save(tmp_path, step, one(step), keep=9)
    for step in (1, 8, 9):
        damaged(tmp_path / f"step_0000000{step}")
    for step in (3, 4):
        assert value(save(tmp_path, step, one(step), keep=keep)) == step
    found = {path.name for path in tmp_path.iterdir()}
    expected = {f"step_0000000{step}" for step in (2, 3, 4)[-keep:]} | {"damaged_step_00000008", "damaged_step_00000009"}
    assert found - {"damaged_step_00000001"} == expected
    assert ("damaged_step_00000001" in found) == (keep == 3)  # met on the way, where enough others are not
    assert "moved to" in caplog.text and "damaged_step_00000009" in caplog.text


def test_only_whole_ones_count(tmp_path: Path) -> None:
    """The newest before is damaged: the one before that stays in its place."""
    for step in (1, 2, 3):
        save(tmp_path, step, one(step), keep=9)
    damaged(tmp_path / "step_00000003")
    save(tmp_path, 4, one(4), keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {"step_00000002", "damaged_step_00000003", "step_00000004"}
    for _ in range(2):  # a step again, damaged again
        damaged(save(tmp_path, 5, one(5), keep=2))
        save(tmp_path, 6, one(6), keep=2)
        shutil.rmtree(tmp_path / "step_00000006")
    assert value(latest(tmp_path)) == 4.0


def test_the_state_can_be_read_alone(tmp_path: Path) -> None:
    path = save(tmp_path, 1, one(1), keep=1)
    (path / "trainable.safetensors").unlink()
    assert load_state(path) == {"step": 1}


def test_a_run_folder_given_as_a_checkpoint_is_named(tmp_path: Path) -> None:
    save(tmp_path / "checkpoints", 1, one(1), keep=1)
    with pytest.raises(ValueError, match=r"is a run's folder; give one of .*checkpoints"):
        load(tmp_path)
