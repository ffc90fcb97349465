"""What the command lines share: errors as one paragraph, run folders, the folder of the configuration."""

import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from moa.places import embedded

CONF = embedded("conf")
MEGABYTE = 2**20


def choices(group: str) -> list[str]:
    """The files of a configuration group, by name."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns an error that a user can mend into its message, one paragraph on stderr, and exit code 2; Ctrl-C into exit code 130.

    Anything else is a fault of ours and keeps its traceback.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra's errors come here too
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {' '.join(message(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported for its name alone
            raise
        print(f"error: {' '.join(str(error).split())[:200]} ... Set a smaller batch_size, or a smaller model or picture.", file=sys.stderr)
        raise SystemExit(2) from None


def message(error: Exception) -> str:
    """What an error says to a user: the cause, and what to do where its author did not say."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return f"There is no {group or 'configuration'} {name!r}; choose one of {', '.join(error.options)}."
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as name=value; put the value in quotes that Hydra sees, as in \"name='a, (b)'\"."
    if isinstance(error, ConfigCompositionException):
        return str(first_cause(error))
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full ({error}); nothing already saved is lost. Make room, or give another folder with out=, and go on with resume=latest."
    return str(error)


def show_log() -> None:
    """The library's log on stderr, one line an entry."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("moa").setLevel(logging.INFO)


def first_cause(error: BaseException) -> BaseException:
    """The error at the bottom of a chain of `raise ... from ...`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def newest(folder: Path, usable: Callable[[Path], bool]) -> Path | None:
    """The last by name of the sub-folders that are usable, or None."""
    found = [path for path in sorted(folder.glob("*")) if path.is_dir() and usable(path)]
    return found[-1] if found else None


def writable_folder(path: str | Path, *, needed: int = 16 * MEGABYTE, setting: str = "out") -> Path:
    """The folder that a setting names, made if need be, after a try at writing into it.

    Errors: ValueError if it cannot be made or written to, or has fewer than `needed` bytes free.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"moa")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ValueError(
            f"Nothing can be written to the folder {str(path)!r} ({error.strerror or error}); give another with {setting}=."
        ) from None
    if free < needed:
        raise ValueError(
            f"The disk of {str(path)!r} has {free // MEGABYTE} MB left, and {needed // MEGABYTE} are needed; make room, or give another folder with {setting}=."
        )
    return folder
