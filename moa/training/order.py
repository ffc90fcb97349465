"""Which examples a step sees, as a pure function of the seed and the step, so that a resumed run sees what it would have seen."""

from collections.abc import Iterator
from functools import lru_cache

import torch


@lru_cache(maxsize=2)
def permutation(size: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of one epoch: a permutation of `size` examples that depends on (seed, epoch) alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(size, generator=generator)


def indices(size: int, seed: int, start: int, count: int) -> list[int]:
    """The `count` examples from position `start` of the endless stream of shuffled epochs."""
    positions = range(start, start + count)
    return [int(permutation(size, seed, p // size)[p % size]) for p in positions]


class StepBatches:
    """A batch sampler: the micro-batches of one process from step `first_step` on, without end.

    A step's `batch_size` examples are cut into `accumulate * processes` equal micro-batches; process `rank` takes every `processes`-th,
    so neither number changes what a step learns from.
    """

    def __init__(self, size: int, *, batch_size: int, seed: int, first_step: int, accumulate: int, processes: int, rank: int) -> None:
        if size < 1:
            raise ValueError("the data set is empty (0 examples); at least 1 is needed; check the `data` settings")
        parts = accumulate * processes
        if batch_size < 1 or batch_size % parts:
            raise ValueError(
                f"batch_size={batch_size} cannot be cut into accumulate={accumulate} x {processes} processes; "
                f"a positive multiple of {parts} is needed; change batch_size or accumulate"
            )
        self.size, self.batch_size, self.seed, self.first_step = size, batch_size, seed, first_step
        self.accumulate, self.processes, self.rank = accumulate, processes, rank

    def __iter__(self) -> Iterator[list[int]]:
        step, micro = self.first_step, self.batch_size // (self.accumulate * self.processes)
        while True:
            for part in range(self.accumulate):
                offset = (part * self.processes + self.rank) * micro
                yield indices(self.size, self.seed, step * self.batch_size + offset, micro)
            step += 1
