"""The command lines as a user types them, run within the tests' own process: importing torch once is slow enough."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path


def typed(script: str, words: Sequence[str], folder: Path) -> int:
    """The exit status of `python train.py ...` (or infer.py, evaluate.py), from a folder."""
    main = importlib.import_module(f"moa.{Path(script).stem}").main
    with _as_typed([script, *words], folder):
        try:
            main()
        except SystemExit as end:
            return end.code or 0
    return 0


@contextmanager
def _as_typed(argv: list[str], folder: Path):
    """Arguments, folder, environment and log are the command's own, and afterwards what they were."""
    before, here, environment = sys.argv, Path.cwd(), dict(os.environ)
    root, ours = logging.getLogger(), logging.getLogger("moa")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    sys.argv = argv
    os.chdir(folder)
    try:
        yield
    finally:
        sys.argv = before
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)
        root.handlers[:] = handlers
        root.setLevel(levels[0]), ours.setLevel(levels[1])
