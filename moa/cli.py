"""What the command lines share: errors as one paragraph, run folders, the folder of the configuration."""

import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import count
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from moa.places import embedded
from moa.training.interruption import Interrupted

CONF = embedded("conf")
MEGABYTE = 2**20


def choices(group: str) -> list[str]:
    """The files of a configuration group, by name."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns an error that a user can mend into its message, one paragraph on stderr, and exit code 2.

    Ctrl-C ends in exit code 130, and SIGTERM in 143 where a training saves first.
    Anything else is a fault of ours and keeps its traceback.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra's errors come here too
    try:
        yield
    except Interrupted as stop:
        if str(stop):  # other processes than the first have nothing to say
            print(stop, file=sys.stderr)
        raise SystemExit(128 + stop.number) from None
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
        cause = first_cause(error)
        return unknown_setting(cause) if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) else str(cause)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full ({error}); nothing already saved is lost. Make room, or give another folder with out=, and go on with resume=latest."
    return str(error)


def unknown_setting(error: OmegaConfBaseException) -> str:
    """That a group of settings has no such key, and which it has."""
    group, _, name = str(error.full_key).rpartition(".")
    known = [f"{group}.{key}" if group else str(key) for key in error.parent_node or () if not str(key).startswith("_")]
    near = get_close_matches(f"{group}.{name}", known, n=1)
    return f"There is no setting {error.full_key}; {f'did you mean {near[0]}=? All' if near else 'all'} of them: {', '.join(known)}."


def quiet() -> None:
    """No loading bars and no advice of the libraries underneath."""
    import diffusers  # not before a run has been checked
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()


def show_log() -> None:
    """The library's log on stderr, one line an entry."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("moa").setLevel(logging.INFO)


@contextmanager
def output_folder(given: str | Path | None, new: str | Path) -> Iterator[Path]:
    """The folder that a command writes to: the one `given`, made if need be, or one of its own.

    Its own is `new`, or where that is there already the first free name of `new`_2, `new`_3, ...:
    no two commands get the same, even in the same instant. If the block fails, what was made and
    is still empty is taken away again. Raises: ValueError as `writable_folder`.
    """
    target = Path(new if given is None else given).expanduser()
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        folder = free_folder(target) if given is None else target
        made = [folder, *made] if given is None else made
        yield writable_folder(folder)
    except BaseException:
        with suppress(OSError):  # one that holds something stays
            for path in dict.fromkeys(made):
                path.rmdir()
        raise


def free_folder(path: Path) -> Path:
    """Makes a folder that was not there: `path`, or `path`_2, and so on.

    Raises: ValueError if none can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise ValueError(f"The folder {str(path)!r} cannot be made ({error.strerror or error}); give another with out=.") from None


def first_cause(error: BaseException) -> BaseException:
    """The error at the bottom of a chain of `raise ... from ...`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


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
