"""Checks of the training command's settings before anything is built: kinds by the signatures, ranges of the loop's own."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object

from moa.training.schedule import SCHEDULES, check_end
from moa.values import number, one_of, whole

MANY = 10**9
WHOLE = {  # least and most
    "steps": (0, MANY),
    "batch_size": (1, 10**6),
    "warmup_steps": (0, MANY),
    "accumulate": (1, 10**6),
    "seed": (0, 2**31 - 1),
    "workers": (0, 256),
    "log_every": (1, MANY),
    "checkpoint_every": (1, MANY),
    "keep": (1, 10**6),
}
NUMBERS = {
    "max_minutes": (0, MANY),
    "learning_rate": (0, 10),
    "cooldown": (1e-9, 1),
    "floor": (0, 1),
    "weight_decay": (0, 10),
    "clip_norm": (1e-9, MANY),
    "checkpoint_minutes": (0, MANY),
    "validate_every_minutes": (0, MANY),
}
IDENTITY = ("noun", "data", "prior", "where", "router", "objective")
ASIDE = ("validation", "previews", "sheet", "workers", "gradient_checkpointing")
LISTED = re.compile(rf"\$\{{({'|'.join(IDENTITY)})(\.\w+)*\}}")
PLAIN = (str, int, float, bool, NoneType, Path, list, tuple)


NEEDED = {
    "noun": "what the subject is, in a word or two, such as noun=dog",
    "data.path": 'the folder of its pictures, such as "data.path=my dog"',
}


def check_given(config: Mapping[str, object]) -> None:
    """ValueError for settings that have no value (???), and what to give; interpolations (${noun}) are not followed."""
    missing = [name for name, value in _leaves(config) if value == "???" and not name.startswith("hydra.")]
    if missing:
        wanted = "; ".join(f"{name}= ({NEEDED.get(name, 'conf/ says what it is')})" for name in sorted(missing, reverse=True))
        raise ValueError(f"What this run needs is not given: {wanted}.")


def _leaves(node: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def identity(raw: Mapping, resolved: Mapping, *, seed: int) -> dict[str, object]:
    """The settings that make a run this run and no other, by name: what learns, from what.

    Not among them is how the loop goes about it (all of `train` but the seed), and what no step
    depends on. `raw` is the configuration before its interpolations are followed: one that leads
    to a setting of these groups is left out, since that setting is listed itself.
    """
    found: dict[str, object] = {"train.seed": seed}
    for group in IDENTITY:
        if group in raw:
            found |= _named(raw[group], resolved[group], group)
    return found


def _named(raw: object, value: object, name: str) -> dict[str, object]:
    """A setting, or those within a group, by name; a group that builds something is its class."""
    if name.rpartition(".")[2] in ASIDE or isinstance(raw, str) and LISTED.fullmatch(raw):
        return {}
    if not isinstance(value, Mapping):
        return {name: value}
    own = {name: value["_target_"].rpartition(".")[2]} if "_target_" in value else {}
    for key in value.keys() - {"_target_", "_partial_"}:
        own |= _named(raw[key] if isinstance(raw, Mapping) else None, value[key], f"{name}.{key}")
    return own


def check_resume(resume: object) -> None:
    """ValueError for a checkpoint to go on from that is not there."""
    if not isinstance(resume, str) or resume not in ("none", "latest") and not Path(resume).is_dir():
        raise ValueError(
            f"resume={resume!r}: there is no such checkpoint; give the folder of one, outputs/<name>/<time>/checkpoints/<step>, or resume=latest."
        )


def check_loop(settings: Mapping[str, object], function: Callable) -> None:
    """ValueError for a setting of the loop that `function` does not take, of another kind than its signature says, or out of range."""
    hints = hints_of(function)
    for name in settings:
        if name not in hints:
            near = get_close_matches(name, hints, 1)
            raise ValueError(f"train.{name} is no setting; did you mean train.{near[0] if near else 'steps'}? All are in conf/train.yaml")
    check_kinds("train", settings, function)
    for table, check in ((WHOLE, whole), (NUMBERS, number)):
        for name, (low, high) in table.items():
            if settings.get(name) is not None:
                check(f"train.{name}", settings[name], low, high)
    check_end(settings.get("steps"), settings.get("max_minutes"))
    for name, words in (("schedule", SCHEDULES), ("precision", ("auto", "no", "bf16", "fp16"))):
        if name in settings:
            one_of(f"train.{name}", settings[name], words)


def check_nodes(node: object, name: str) -> None:
    """`check_kinds` for every `_target_` in a resolved configuration, before one of them is built."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            check_kinds(name, node, get_object(node["_target_"]))
        for key, value in node.items():
            check_nodes(value, f"{name}.{key}")


def check_partial(name: str, node: Mapping[str, object], given: Sequence[str]) -> None:
    """`check_kinds` for a function that is called later, with one object and the arguments `given`.

    Raises: ValueError too for an argument that it lacks or does not take.
    """
    made = get_object(node["_target_"])
    own = {key: value for key, value in node.items() if not key.startswith("_")}
    try:
        inspect.signature(made).bind(None, **own, **dict.fromkeys(given))
    except TypeError as error:
        taken = [key for key in hints_of(made) if key not in given][1:]
        raise ValueError(
            f"{name} ({node['_target_']}): {error}; it takes {', '.join(taken) or 'nothing'} here, "
            f"and train gives it {', '.join(given)}; change {name}"
        ) from None
    check_kinds(name, own, made)


def check_kinds(name: str, values: Mapping[str, object], made: Callable) -> None:
    """ValueError for a plain value (a number, text, a list, nothing) where the signature of `made` wants another kind."""
    hints = hints_of(made)
    for key, value in values.items():
        kinds = kinds_of(hints[key]) if key in hints else (object,)
        if not isinstance(value, PLAIN) or not set(kinds) <= set(PLAIN):
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            allowed = " or ".join(dict.fromkeys(kind.__name__.replace("NoneType", "null") for kind in kinds))
            raise ValueError(f"{name}.{key}={value!r} is of kind {type(value).__name__}; {allowed} is needed; change {name}.{key}")


def hints_of(made: Callable) -> dict[str, object]:
    """The type hints of what a call of a function or class takes."""
    hints = get_type_hints(made.__init__ if inspect.isclass(made) else made)
    return {name: hint for name, hint in hints.items() if name != "return"}


def kinds_of(hint: object) -> tuple[type, ...]:
    """The classes whose instances a configuration may give for a type hint; an int is a float, a text a path, a list any sequence here."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds: list[type] = []
    for part in parts:
        kind = get_origin(part) or part
        ours = inspect.isclass(kind)
        many = ours and kind.__module__ == "collections.abc" and issubclass(list, kind) or kind in (list, tuple)
        kinds += [list] if many else [kind, int] if kind is float else [kind, str] if kind is Path else [kind if ours else object]
    return tuple(kinds)
