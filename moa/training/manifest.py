"""The manifest of a folder: the size and SHA-256 of each of its files, and its own hash."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = 2
OTHER = "resume from another checkpoint"


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """The manifest of files with these contents; writing it last makes a folder whole."""
    facts = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in files.items()}
    manifest = {"format_version": FORMAT, "files": facts, "sha256": _digest(facts)}
    return json.dumps(manifest, indent=1).encode()


def read_files(folder: Path) -> dict[str, bytes]:
    """All files that a folder's manifest lists.

    Raises: ValueError naming the one that is missing, short, altered or unreadable.
    """
    return {name: _verified(folder / name, fact) for name, fact in _listed(folder).items()}


def read_file(folder: Path, name: str) -> bytes:
    """One of them. Raises: as `read_files`."""
    listed = _listed(folder)
    if name not in listed:
        raise ValueError(f"{folder / MANIFEST} lists no {name}; {OTHER}")
    return _verified(folder / name, listed[name])


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(files: object) -> str:
    """A hash of the manifest's own entries: a bit may flip there too."""
    return _sha256(json.dumps(files, sort_keys=True).encode())


def _listed(folder: Path) -> dict[str, dict[str, object]]:
    """The files in a folder's manifest, by name, with their sizes and hashes."""
    manifest = folder / MANIFEST
    if (folder / "checkpoints").is_dir():
        raise ValueError(f"{folder} is a run's folder; give one of {folder / 'checkpoints'}")
    try:
        found = json.loads(_bytes_of(manifest))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no {MANIFEST}, so it was never finished; {OTHER}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        found = None
    version = found.get("format_version") if isinstance(found, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise ValueError(f"{manifest} is of format {version} and this version of moa reads {FORMAT}; resume with the version that saved it")
    if version != FORMAT or not _is_listing(found.get("files"), found.get("sha256")):
        raise ValueError(f"{manifest} cannot be read as a manifest; {OTHER}")
    return found["files"]


def _is_listing(files: object, digest: object) -> bool:
    """Whether a manifest's files are as they were written, by its own hash and by their form."""
    if not isinstance(files, dict) or _digest(files) != digest:
        return False
    return all(name == Path(name).name and isinstance(fact, dict) and {"bytes", "sha256"} <= fact.keys() for name, fact in files.items())


def _bytes_of(file: Path) -> bytes:
    """What a file holds. Raises: FileNotFoundError, and ValueError where it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); {OTHER}") from None


def _verified(file: Path, fact: Mapping[str, object]) -> bytes:
    try:
        data = _bytes_of(file)
    except FileNotFoundError:
        raise ValueError(f"{file} is missing, though its manifest lists it; {OTHER}") from None
    if len(data) != fact["bytes"]:
        raise ValueError(f"{file} has {len(data)} bytes where {fact['bytes']} were saved; {OTHER}")
    if _sha256(data) != fact["sha256"]:
        raise ValueError(f"{file} is not what was saved (its SHA-256 differs); {OTHER}")
    return data
