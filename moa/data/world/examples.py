"""Example subjects to ship with an adapter: people of the test split who look as different as can be.

python -m moa.data.world.examples models/tiny-people/examples
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from moa.data.world.figures import Identity
from moa.data.world.references import render_reference
from moa.data.world.sprites import cache_folder, sprite
from moa.data.world.subjects import identity, looks

NAMES = ("ada", "bo", "cleo", "dev", "emi", "finn", "gus", "hana", "ivo", "juno")
POOL = 200  # identities to choose from


def distance(one: Identity, other: Identity) -> int:
    """In how many visible attributes two subjects differ; having a hat, beard or glasses at all, and the colours of skin and hair, count double."""
    mine, theirs = one.labels(), other.labels()
    differ = sum(mine.get(key) != theirs.get(key) for key in mine.keys() | theirs.keys())
    colors = sum(mine.get(key) != theirs.get(key) for key in ("skin", "hair_color"))
    has = sum((mine.get(key, "none") == "none") != (theirs.get(key, "none") == "none") for key in ("hat", "beard", "glasses"))
    return differ + colors + 2 * has


def choose(count: int, *, split: str = "test", kind: str = "person") -> list[int]:
    """Numbers of identities, each as far from those before it as any in the pool."""
    everyone = [identity(split, number, kind) for number in range(POOL)]
    chosen = [0]
    while len(chosen) < count:
        chosen.append(max(range(POOL), key=lambda i: min(distance(everyone[i], everyone[j]) for j in chosen)))
    return chosen


def render_examples(folder: str | Path, *, count: int = 6, size: int = 128, split: str = "test", kind: str = "person") -> list[Path]:
    """Write one picture (PNG, `size` pixels a side) of each of `count` subjects, whole figure, named after them.

    Errors: ValueError for more subjects than there are names.
    """
    if not 1 <= count <= len(NAMES):
        raise ValueError(f"got count {count}; allowed are 1 to {len(NAMES)}; ask for fewer")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, number in zip(NAMES, choose(count, split=split, kind=kind), strict=False):
        look = looks(split, number, kind)[0]
        who = identity(split, number, kind)
        figure = sprite(who, look, cache_folder())
        picture, _ = render_reference(np.random.default_rng([20242, number]), figure, size, close_ups=False, sunk=who.sunk)
        paths.append(folder / f"{name}.png")
        Image.fromarray(picture).save(paths[-1], optimize=True)
    return paths


if __name__ == "__main__":
    print(*render_examples(sys.argv[1]), sep="\n")
