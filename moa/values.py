"""Checks of one setting each: every error names the setting, its value and what is allowed. Nothing heavy is imported."""

import math
from numbers import Integral, Real

KINDS = {"NoneType": "null", "dict": "mapping", "str": "text", "int": "number", "float": "number", "bool": "true/false"}


def kind(value) -> str:
    """What a value is, in the user's words."""
    return KINDS.get(type(value).__name__, type(value).__name__)


def text(name: str, value, *, empty: bool = False) -> None:
    """ValueError unless the value is text, and not blank."""
    if not isinstance(value, str):
        raise ValueError(f"{name}={value!r} is a {kind(value)}; give text.")
    if not empty and not value.strip():
        raise ValueError(f"{name} is empty; write something after the = sign, or leave {name}= out.")


def texts(name: str, value) -> None:
    """ValueError unless the value is a list of texts."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}={value!r} is a {kind(value)}; give a list of texts, and at least one.")
    for i, item in enumerate(value):
        text(f"{name}[{i}]", item)


def whole(name: str, value, low: int, high: int) -> None:
    """ValueError unless the value is an integer from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise ValueError(f"{name}={value!r} cannot be used; give a whole number from {low} to {high}.")


def number(name: str, value, low: float, high: float) -> None:
    """ValueError unless the value is a finite number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}={value!r} cannot be used; give a number from {low} to {high}.")


def side(name: str, value) -> None:
    """ValueError unless the value can be a picture's side."""
    whole(name, value, 8, 8192)
    if value % 8:
        raise ValueError(
            f"{name}={value} is no multiple of 8, which the autoencoder works in; give {value // 8 * 8} or {value // 8 * 8 + 8}."
        )


def one_of(name: str, value, allowed: tuple[str, ...]) -> None:
    """ValueError unless the value is one of the words allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(allowed)}.")
