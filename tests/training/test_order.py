"""The order of examples is a pure function of seed and step, whatever the cut into micro-batches and processes."""

from itertools import islice

import pytest

from moa.training.order import StepBatches, indices
from moa.training.schedule import learning_rate_factor, progress


def steps(first: int, count: int, accumulate: int, processes: int) -> list[list[int]]:
    settings = dict(batch_size=12, seed=4, first_step=first, accumulate=accumulate, processes=processes)
    ranks = [iter(StepBatches(31, rank=rank, **settings)) for rank in range(processes)]
    return [sum((part for _ in range(accumulate) for part in (next(rank) for rank in ranks)), []) for _ in range(count)]


def test_each_epoch_is_a_permutation() -> None:
    assert sorted(indices(31, 4, 0, 31)) == sorted(indices(31, 4, 31, 31)) == list(range(31))
    assert indices(31, 4, 0, 31) != indices(31, 4, 31, 31)
    assert indices(31, 4, 20, 20) == indices(31, 4, 20, 11) + indices(31, 4, 31, 9)


@pytest.mark.parametrize(("accumulate", "processes"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_the_cut_does_not_matter(accumulate: int, processes: int) -> None:
    assert steps(0, 6, accumulate, processes) == steps(0, 6, 1, 1)
    assert steps(4, 2, accumulate, processes) == steps(0, 6, 1, 1)[4:]


def test_empty_data_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        StepBatches(0, batch_size=1, seed=0, first_step=0, accumulate=1, processes=1, rank=0)


def test_endless() -> None:
    stream = iter(StepBatches(2, batch_size=3, seed=0, first_step=0, accumulate=1, processes=1, rank=0))
    assert all(len(batch) == 3 for batch in islice(stream, 5))


def factor(schedule: str, step: int, over: float, **changes: float) -> float:
    settings = dict(warmup_steps=10, cooldown=0.25, floor=0.0) | changes
    return learning_rate_factor(schedule, step=step, progress=over, **settings)


def test_schedules() -> None:
    assert factor("constant", 0, 0.0) == pytest.approx(0.1) and factor("constant", 99, 0.9) == 1
    assert factor("cosine", 99, 0.5) == pytest.approx(0.5)
    assert factor("cosine", 99, 1.0) == pytest.approx(0)
    assert factor("trapezoid", 99, 0.75) == 1
    assert factor("trapezoid", 99, 0.875) == pytest.approx(0.5)


def test_a_schedule_falls_to_the_floor() -> None:
    long = dict(cooldown=0.4, floor=0.02)
    assert factor("trapezoid", 99, 0.6, **long) == 1
    assert factor("trapezoid", 99, 0.8, **long) == pytest.approx(0.51)
    assert factor("trapezoid", 99, 1.0, **long) == pytest.approx(0.02)
    assert factor("cosine", 99, 1.0, floor=0.1) == pytest.approx(0.1)
    assert factor("constant", 99, 1.0, floor=0.1) == 1


def test_a_run_without_a_cooldown_is_refused() -> None:
    with pytest.raises(ValueError, match="cooldown=0 is no part of a run"):
        factor("trapezoid", 99, 1.0, cooldown=0)


def test_progress_follows_steps_or_the_clock() -> None:
    assert progress(step=5, steps=10, minutes=9.0, max_minutes=10.0) == pytest.approx(0.9)
    assert progress(step=5, steps=10, minutes=0.0, max_minutes=None) == 0.5
    assert progress(step=0, steps=None, minutes=0.0, max_minutes=0.0) == 1
    assert progress(step=0, steps=0, minutes=0.0, max_minutes=None) == 1
