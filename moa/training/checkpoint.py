"""Checkpoints that survive a crash at any point: written aside, synced, hashed, renamed; only then are old ones removed."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from torch import Tensor

MANIFEST = "manifest.json"
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

    def remove(self, folder: Path) -> None:
        shutil.rmtree(folder)


def step_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies; the name sorts by step."""
    return folder / f"step_{step:08d}"


def save(folder: Path, step: int, checkpoint: Checkpoint, *, keep: int, disk: Disk | None = None) -> Path:
    """Writes the checkpoint of a step and removes all but the newest `keep`; returns its folder.

    OSError (a full disk, say) leaves every earlier checkpoint whole. Files are held in memory once while they are written.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} would keep no checkpoint; at least 1 is needed; change train.keep")
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
    _prune(folder, keep, disk)
    return target


def _write(folder: Path, checkpoint: Checkpoint, disk: Disk) -> None:
    files = {f"{group}.safetensors": _tensor_bytes(tensors) for group, tensors in checkpoint.tensors.items()}
    files["state.json"] = json.dumps(checkpoint.state, indent=1, allow_nan=False).encode()
    for name, data in files.items():
        disk.write(folder / name, data)
        disk.sync(folder / name)
    facts = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    disk.write(folder / MANIFEST, json.dumps({"format_version": 1, "files": facts}, indent=1).encode())
    disk.sync(folder / MANIFEST)
    disk.sync(folder)


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def _put_aside(path: Path, disk: Disk) -> None:
    """A checkpoint under a name that is none, to be removed: what is removed is half there for a while."""
    aside = path.with_name(f".{path.name}.old-{os.getpid()}")
    if aside.exists():  # an earlier save of this process was cut short
        disk.remove(aside)
    disk.rename(path, aside)


def _prune(folder: Path, keep: int, disk: Disk) -> None:
    committed = [path for path in step_folders(folder) if (path / MANIFEST).exists()]
    for path in committed[:-keep]:
        _put_aside(path, disk)
    for path in sorted(folder.glob(".step_*.old-*")) + sorted(folder.glob(".step_*.new-*")):
        disk.remove(path)


def step_folders(folder: Path) -> list[Path]:
    """Every checkpoint folder, whole or not, oldest first."""
    return sorted(folder.glob("step_*"))


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint; ValueError names the file that is missing, short or altered."""
    files = _read_verified(path)
    tensors = {
        name.removesuffix(".safetensors"): safetensors.torch.load(data) for name, data in files.items() if name.endswith(".safetensors")
    }
    return Checkpoint(tensors=tensors, state=json.loads(files["state.json"]))


def _read_verified(path: Path) -> dict[str, bytes]:
    try:
        listed = json.loads((path / MANIFEST).read_bytes())["files"]
    except FileNotFoundError:
        raise ValueError(f"{path} has no {MANIFEST}, so it was never finished; resume from another checkpoint") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path / MANIFEST} cannot be read as a manifest; resume from another checkpoint") from None
    return {name: _verified(path / name, fact) for name, fact in listed.items()}


def _verified(file: Path, fact: Mapping[str, object]) -> bytes:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{file} is missing, though its manifest lists it; resume from another checkpoint") from None
    if len(data) != fact["bytes"]:
        raise ValueError(f"{file} has {len(data)} bytes where {fact['bytes']} were saved; resume from another checkpoint")
    if hashlib.sha256(data).hexdigest() != fact["sha256"]:
        raise ValueError(f"{file} is not what was saved (its SHA-256 differs); resume from another checkpoint")
    return data


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None; says in the log which it skipped, and why."""
    for path in reversed(step_folders(folder)):
        try:
            _read_verified(path)
            return path
        except ValueError as error:
            log.warning("skipping a checkpoint: %s", error)
    return None
