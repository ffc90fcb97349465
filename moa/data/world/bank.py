"""A fixed bank of pictures and captions on disk: one memory-mapped array, written by several processes, resumable."""

import json
import multiprocessing
import os
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from moa.data.world.dataset import World

CHUNK = 250  # pictures written at a time


def render_bank(
    path: str | Path,
    count: int,
    split: str = "train",
    seed: int = 0,
    *,
    workers: int = 2,
    size: int = 128,
    identities: int = 4000,
    cache: str | Path | None = "default",
) -> Path:
    """Write examples 0 to `count` - 1 of a `World` as `path` (.npy, uint8, n h w 3) and captions beside it.

    `path` with suffix .json holds {"captions": [...], "scenes": [...]}. What an interrupted run finished is kept in
    `<path>.parts` and not drawn again; both files appear at the end only, at once. An existing bank is left alone.
    ValueError if the unfinished parts are of another bank.
    """
    path = Path(path)
    if path.suffix != ".npy" or count < 1:
        raise ValueError(f"got path {str(path)!r}, count {count}; allowed are a .npy path and a count of 1 or more; pass such")
    if path.exists():
        return path
    world = World(split, seed=seed, size=size, length=count, identities=identities, cache=cache)
    parts = path.with_name(path.name + ".parts")
    _open_parts(
        parts,
        {"count": count, "split": split, "seed": seed, "size": size, "identities": identities},
        (count, size, size, 3),
    )
    todo = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK) if not _captions(parts, start).exists()]
    if min(workers, len(todo)) <= 1:
        for chunk in tqdm(todo, desc="pictures", unit_scale=CHUNK, leave=False):
            _write_chunk(world, parts, chunk)
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            job = partial(_write_chunk, world, parts)
            list(tqdm(pool.imap_unordered(job, todo), "pictures", len(todo), unit_scale=CHUNK, leave=False))
    _finish(path, parts, count)
    return path


def read_bank(path: str | Path) -> tuple[np.ndarray, list[str]]:
    """The pictures (uint8, n h w 3, memory-mapped, read-only) and captions of a bank."""
    path = Path(path)
    return np.load(path, mmap_mode="r"), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["captions"]


def _captions(parts: Path, start: int) -> Path:
    return parts / f"{start:08d}.json"


def _open_parts(parts: Path, facts: dict[str, int | str], shape: tuple[int, ...]) -> None:
    about = parts / "bank.json"
    if about.exists():
        if (found := json.loads(about.read_text(encoding="utf-8"))) != facts:
            raise ValueError(f"{parts} holds an unfinished bank {found}; allowed is {facts}; remove the folder or finish that bank")
        return
    parts.mkdir(parents=True, exist_ok=True)
    np.lib.format.open_memmap(parts / "pictures.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
    about.write_text(json.dumps(facts), encoding="utf-8")


def _write_chunk(world: World, parts: Path, chunk: range) -> None:
    """Draw one chunk; its captions are written last, so that they mark the chunk as finished."""
    pictures = np.load(parts / "pictures.npy", mmap_mode="r+")
    said = []
    for index in chunk:
        example = world.example(index)
        pictures[index] = example.image
        said.append((example.caption, example.scene))
    pictures.flush()
    unfinished = _captions(parts, chunk.start).with_suffix(".tmp")
    unfinished.write_text(json.dumps(said), encoding="utf-8")
    os.replace(unfinished, _captions(parts, chunk.start))


def _finish(path: Path, parts: Path, count: int) -> None:
    files = [_captions(parts, start) for start in range(0, count, CHUNK)]
    said = [pair for file in files for pair in json.loads(file.read_text(encoding="utf-8"))]
    table = {"captions": [caption for caption, _ in said], "scenes": [scene for _, scene in said]}
    (parts / "captions.json").write_text(json.dumps(table), encoding="utf-8")
    os.replace(parts / "captions.json", path.with_suffix(".json"))
    os.replace(parts / "pictures.npy", path)
    for file in (*files, parts / "bank.json"):
        file.unlink()
    parts.rmdir()
