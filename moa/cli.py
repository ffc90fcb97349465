"""What the command lines share: errors as one paragraph, run folders, the folder of the configuration."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONF = Path(__file__).parent / "conf"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns a ValueError or OSError into its message on stderr and exit code 2; anything else keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


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
