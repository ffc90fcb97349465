"""Pictures a second of the embedded world: cold (no sprite drawn yet) and warm, with 1 and 2 workers.

python benchmarks/world.py [pictures]
"""

import sys
import tempfile
import time

from torch.utils.data import DataLoader

from moa.data.world import World


def pictures_per_second(world: World, workers: int) -> float:
    """Read the whole world once through a DataLoader; its start is not counted."""
    batches = iter(DataLoader(world, batch_size=16, num_workers=workers, collate_fn=list))
    done = -len(next(batches))
    start = time.perf_counter()
    done += sum(len(batch) for batch in batches) + 16
    return done / (time.perf_counter() - start)


def main(pictures: int) -> None:
    """Print one line for each number of references and workers."""
    for references in (0, 1):
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                world = World(length=pictures, references=references, cache=folder)
                cold, warm = pictures_per_second(world, workers), pictures_per_second(world, workers)
            speeds = f"cold {cold:6.0f}/s  warm {warm:6.0f}/s  ratio {warm / cold:.1f}"
            print(f"references {references}  workers {workers}  {speeds}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
