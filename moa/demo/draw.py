"""From what the fields of the page hold to drawn pictures; knows nothing of the page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moa import drawing
from moa.pipelines import MoAPipeline
from moa.prompt.placeholders import names_in
from moa.request import Request


@dataclass(frozen=True, slots=True)
class Given:
    """The fields of one subject: its name, its class noun ("": the adapter's) and the path of its picture, if any."""

    name: str = ""
    noun: str = ""
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The files written; of each picture the one to look at, with its routing where it has any; and what there is to note."""

    files: list[Path]
    shown: list[Path]
    notes: list[str]


def draw(
    pipe: MoAPipeline, settings: Request, out: Path,
    *, prompt: str, given: Sequence[Given], seed: int, count: int, steps: int, guidance: float, scale: float,
) -> Drawn:  # fmt: skip
    """Draws a prompt with those of the subjects given whom it names; what the page does not ask for is as in `settings`.

    Errors: ValueError, before any work starts, for fields that cannot be used or do not fit together.
    """
    cast, notes = cast_of(prompt, given)
    request = replace(
        settings, prompt=prompt, subjects={one.name: one.picture for one in cast}, nouns={one.name: one.noun for one in cast if one.noun},
        seed=seed, count=count, steps=steps, guidance=guidance, scale=scale,
    )  # fmt: skip
    pictures = request.pictures()
    pipe.set_moa_scale(request.scale, window=tuple(request.window))
    files = list(drawing.draw(pipe, request, pictures, request.regions(), out, say=notes.append))
    routings = {path.with_suffix("").with_suffix(".png"): path for path in files if path.suffixes[-2:] == [".routing", ".png"]}
    return Drawn(files, [routings.get(path, path) for path in files if path not in routings.values()], notes)


def cast_of(prompt: str, given: Sequence[Given]) -> tuple[list[Given], list[str]]:
    """Those whom the prompt names, and a note about those whom it does not.

    Errors: ValueError for an empty prompt, a picture without a name, a name without a picture, one that is none, or is there twice.
    """
    if not prompt.strip():
        raise ValueError("The prompt is empty; write a scene into it, such as: a person in the snow.")
    given = [Given(one.name.strip(), one.noun.strip(), one.picture) for one in given]
    for number, one in enumerate(given, start=1):
        _check(one, number, prompt)
    names = [one.name for one in given if one.name]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Two subjects have the name {name!r}; a name stands for one subject, so give each its own.")
    cast = [one for one in given if one.name in names_in(prompt)]
    left_out = [f"<{one.name}>" for one in given if one.picture and one not in cast]
    if not cast and left_out:
        return [], [f"The prompt names no subject, so this is the model's own picture; write {' or '.join(left_out)} into it to draw one."]
    return cast, [f"Left out, as the prompt does not name them: {', '.join(left_out)}."] if left_out else []


def _check(one: Given, number: int, prompt: str) -> None:
    if one.name and names_in(f"<{one.name}>") != [one.name]:
        raise ValueError(
            f"The name {one.name!r} of subject {number} cannot stand in a prompt; use letters, digits, hyphens and spaces, such as alice."
        )
    if one.picture and not one.name:
        raise ValueError(
            f"Subject {number} has a picture and no name; give it one, such as alice, and write <alice> where it belongs in the prompt."
        )
    if one.name in names_in(prompt) and not one.picture:
        raise ValueError(f"Subject {number}, {one.name!r}, has no picture; give it one, or take <{one.name}> out of the prompt.")
