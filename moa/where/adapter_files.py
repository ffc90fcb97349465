"""The two files of a saved adapter: where they are, and whether they are what was saved."""

import hashlib
import os
import warnings
from pathlib import Path

WEIGHTS, CONFIG = "moa_adapter.safetensors", "moa_adapter.json"


def fetch(path: str | Path) -> Path:
    """The folder of an adapter, from this disk or from the hub.

    Errors: ValueError naming what is missing.
    """
    folder = Path(path)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise ValueError(f"The folder {str(path)!r} holds no {CONFIG}; give a folder written by MoAAdapter.save_pretrained.")
        if not (folder / WEIGHTS).is_file():
            raise ValueError(f"The folder {str(path)!r} holds no {WEIGHTS}; copy the adapter again, it is incomplete.")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(str(path), allow_patterns=[WEIGHTS, CONFIG]))
    except (HFValidationError, OSError) as error:
        raise ValueError(f"No adapter at {str(path)!r}: no such folder here, and as a hub id it gave: {error}") from error


def sync(file: Path) -> None:
    """Waits until a file's content is on the disk, so that a rename cannot get there before it."""
    with open(file, "rb") as stream:
        os.fsync(stream.fileno())


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_digest(weights: Path, wanted: str | None) -> None:
    """ValueError if the file is not what was saved: safetensors has no checksum of its own, and a flipped bit loads."""
    if wanted is None:
        warnings.warn(
            f"{weights.parent / CONFIG} has no sha256, so damage to {WEIGHTS} cannot be seen; save the adapter again.", stacklevel=4
        )
    elif digest(weights) != wanted:
        raise ValueError(
            f"{weights} is not the file that was saved (its SHA-256 differs from the one in {CONFIG}): cut short, altered, or of another adapter. Fetch the adapter again."
        )
