"""The pictures, saved subjects and regions that a drawing run is given by name, read from their files."""

from pathlib import Path

from PIL import Image

from moa.data.images import load_image, load_mask
from moa.values import number, text

EMBEDDING = ".safetensors"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def examples_of(given: str | Path | list[str]) -> dict[str, Path]:
    """The example subjects of an adapter by name: the pictures of a folder, or those of a list.

    Errors: ValueError for fewer than two.
    """
    paths = list(map(Path, given)) if isinstance(given, list) else sorted(Path(given).expanduser().glob("*"))
    found = {path.stem: path.expanduser() for path in paths if path.suffix.lower() in PICTURES}
    if len(found) < 2:
        raise ValueError(
            f"The showcase needs two example pictures or more in {given if isinstance(given, list) else str(given)!r}, which has {len(found)}; "
            "set showcase.examples= to a folder of pictures, or to some as [a.png,b.png], or give a prompt=."
        )
    return found


def read_subject(name: str, value: str | list[str]) -> list[Image.Image] | Path:
    """A subject's pictures, read, or the path of its saved embedding; `name` is the setting's, such as subjects.alice.

    Errors: ValueError naming the setting for a picture that cannot be read, or none.
    """
    paths = value if isinstance(value, list) else [value]
    if not paths:
        raise ValueError(f"{name} is an empty list; give one picture or more, as in {name}=[a.png,b.png].")
    for i, path in enumerate(paths):
        text(name if len(paths) == 1 else f"{name}[{i}]", path)
    places = [Path(path).expanduser() for path in paths]
    if len(places) == 1 and places[0].suffix == EMBEDDING:
        if not places[0].is_file():
            raise ValueError(f"{name}: there is no file at {str(places[0])!r}; check the path.")
        return places[0]
    return [_named(name, load_image, place) for place in places]


def read_region(name: str, value: str | list[float]) -> Image.Image | list[float]:
    """A mask, read, or a box [left, top, right, bottom] in pixels; `name` is the setting's, such as routing.alice.

    Errors: ValueError naming the setting for what is neither.
    """
    if isinstance(value, list):
        if len(value) != 4:
            raise ValueError(f"{name}={value!r} has {len(value)} numbers; a box has four: [left,top,right,bottom] in pixels.")
        for i, edge in enumerate(("left", "top", "right", "bottom")):
            number(f"{name}'s {edge}", value[i], 0, 8192)
        return value
    text(name, value)
    return _named(name, load_mask, Path(value).expanduser())


def _named(name: str, read, path: Path):
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
