"""Checkpoints that survive a crash at any point: written aside, synced, hashed, renamed.

Old ones are removed only then, and only where enough newer ones are whole.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from moa.training.manifest import MANIFEST, manifest_of, read_file, read_files

STATE = "state.json"
NAME = re.compile(r"step_(\d{8,})")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Named groups of named tensors (one safetensors file each) and a JSON-able state."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, object]


class Disk:
    """The file-system operations a save is made of; tests put a failing one in its place."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(parents=True)

    def write(self, path: Path, data: bytes) -> None:
        with open(path, "xb") as file:
            file.write(data)

    def sync(self, path: Path) -> None:
        """Waits until a file, or the names in a folder, are on the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def remove(self, path: Path) -> None:
        """Removes a folder with all that is in it, or a link or file."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def step_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies; the name sorts by step."""
    return folder / f"step_{step:08d}"


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint's folder."""
    return int(NAME.fullmatch(path.name)[1])


def save(folder: Path, step: int, checkpoint: Checkpoint, *, keep: int, disk: Disk | None = None) -> Path:
    """Writes the checkpoint of a step and removes all but `keep` whole ones; returns its folder.

    The one just written always stays. Files are held in memory once while they are written.
    Raises: OSError (a full disk, say), which leaves every earlier checkpoint whole.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} would keep no checkpoint; give 1 or more; change train.keep")
    disk = disk or Disk()
    target = step_folder(folder, step)
    temporary = folder / f".{target.name}.new-{os.getpid()}"
    if temporary.exists():
        disk.remove(temporary)
    disk.mkdir(temporary)
    _write(temporary, checkpoint, disk)
    if target.exists():
        _put_aside(target, disk)
    disk.rename(temporary, target)
    disk.sync(folder)
    _prune(folder, target, keep, disk)
    return target


def _write(folder: Path, checkpoint: Checkpoint, disk: Disk) -> None:
    groups = checkpoint.tensors.items()
    files = {f"{group}.safetensors": _tensor_bytes(tensors) for group, tensors in groups}
    files[STATE] = json.dumps(checkpoint.state, indent=1, allow_nan=False).encode()
    for name, data in files.items():
        disk.write(folder / name, data)
        disk.sync(folder / name)
    disk.write(folder / MANIFEST, manifest_of(files))
    disk.sync(folder / MANIFEST)
    disk.sync(folder)


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return safetensors.torch.save(plain)


def _put_aside(path: Path, disk: Disk) -> None:
    """Renames a checkpoint to be removed: what is removed is half there for a while."""
    aside = path.with_name(f".{path.name}.old-{os.getpid()}")
    if aside.exists():  # an earlier save of this process was cut short
        disk.remove(aside)
    disk.rename(path, aside)


def _prune(folder: Path, saved: Path, keep: int, disk: Disk) -> None:
    """Leaves `saved` and the newest whole ones before it, `keep` in all.

    Damaged ones met on the way are moved aside. What is newer than `saved` is never removed.
    """
    kept = 1
    for path in reversed([path for path in step_folders(folder) if path != saved]):
        older = step_of(path) < step_of(saved)
        if older and kept == keep:
            _put_aside(path, disk)
        elif not _moved_if_damaged(path, disk):
            kept += older
    for path in sorted(folder.glob(".step_*.old-*")) + sorted(folder.glob(".step_*.new-*")):
        disk.remove(path)


def _moved_if_damaged(path: Path, disk: Disk) -> bool:
    """Renames a checkpoint that is not whole, so that it counts as none; says so in the log."""
    try:
        _whole(path)
        return False
    except ValueError as error:
        aside = path.with_name(f"damaged_{path.name}")
        if aside.exists():
            disk.remove(aside)
        disk.rename(path, aside)
        log.warning("moved to %s, to be looked at or deleted: %s", aside, error)
        return True


def step_folders(folder: Path) -> list[Path]:
    """Every checkpoint folder, whole or not, oldest first; of what else lies there, none."""
    found = [path for path in folder.glob("step_*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def _strays(folder: Path) -> list[Path]:
    """What lies among the checkpoints and is none."""
    ours = {*step_folders(folder)}
    return [path for path in sorted(folder.glob("*")) if path not in ours and not path.name.startswith((".step_", "damaged_step_"))]


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises: ValueError naming the file that is missing, short, altered or of another kind.
    """
    found = {name: _parsed(path / name, data) for name, data in _whole(path).items()}
    state = found.pop(STATE)
    return Checkpoint({name.removesuffix(".safetensors"): t for name, t in found.items()}, state)


def _whole(path: Path) -> dict[str, bytes]:
    """All files of a checkpoint. Raises: ValueError naming what is not as it was saved."""
    files = read_files(path)
    if STATE not in files:
        raise ValueError(f"{path} has no {STATE}; resume from another checkpoint")
    return files


def load_state(path: Path) -> Mapping[str, object]:
    """Reads the state alone of a checkpoint, whose tensors may be large. Raises: as `load`."""
    return _parsed(path / STATE, read_file(path, STATE))


def _parsed(file: Path, data: bytes) -> Mapping:
    try:
        found = json.loads(data) if file.suffix == ".json" else safetensors.torch.load(data)
    except (ValueError, RecursionError, SafetensorError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is no file of a checkpoint; resume from another checkpoint")
    return found


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None; says in the log what it skipped, and why."""
    for path in _strays(folder):
        log.warning("%s is no checkpoint's folder and is left alone", path)
    for path in reversed(step_folders(folder)):
        try:
            _whole(path)
            return path
        except ValueError as error:
            log.warning("skipping a checkpoint: %s", error)
    return None
