"""What makes two runs the same run: flat settings that may be compared. Pure."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

Plain = str | int | float | bool | list | None  # what JSON holds
SHOWN = 3  # differences that a message spells out


def digest(identity: Mapping[str, Plain]) -> str:
    """A short name for a run's identity, to compare by eye."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def check_same_run(path: Path, saved: Mapping[str, Plain], given: Mapping[str, Plain]) -> None:
    """Compares what a checkpoint was trained with, and what the settings say.

    Raises: ValueError naming both where they differ.
    """
    odd = differences(saved, given)
    if not odd:
        return
    more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    theirs, ours = (", ".join(say(side, name) for name in odd[:SHOWN]) for side in (saved, given))
    raise ValueError(
        f"{path} is of another run: it was trained with {theirs}{more}; the settings say {ours}. "
        "Give the settings it was trained with to go on, or start a run of its own: without "
        "resume=, and in another out= if you gave one"
    )


def differences(saved: Mapping[str, Plain], given: Mapping[str, Plain]) -> list[str]:
    """The names of the settings that differ, in order; a path is the same however it is written."""
    return [name for name in sorted(saved.keys() | given.keys()) if _differ(name, saved, given)]


def _differ(name: str, saved: Mapping[str, Plain], given: Mapping[str, Plain]) -> bool:
    if name not in saved or name not in given:
        return True
    old, new = saved[name], given[name]
    if isinstance(old, str) and isinstance(new, str):
        return old != new and _resolved(old) != _resolved(new)
    return old != new


def _resolved(text: str) -> Path | str:
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return text


def say(settings: Mapping[str, Plain], name: str) -> str:
    """A setting as a user would type it, or that there is none."""
    if name not in settings:
        return f"no {name}"
    value = settings[name]
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"
