"""Drawing many pictures with several processes."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

CHUNK = 50  # pictures a process draws at a time
Job, Drawn = TypeVar("Job"), TypeVar("Drawn")


def in_order(draw: Callable[[Job], Drawn], jobs: Iterable[Job], count: int, workers: int) -> Iterator[Drawn]:
    """What `draw` makes of each of `count` jobs, in order, with a progress bar; one chunk is drawn here, as processes take seconds to start."""
    if workers <= 1 or count <= CHUNK:
        yield from tqdm(map(draw, jobs), "pictures", count, leave=False)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from tqdm(pool.imap(draw, jobs, chunksize=CHUNK), "pictures", count, leave=False)
