"""Learning rates as pure functions of the step and of the part of the run that is over."""

import math

SCHEDULES = ("constant", "cosine", "trapezoid")
COOLDOWN = 0.25


def learning_rate_factor(schedule: str, *, step: int, warmup_steps: int, progress: float) -> float:
    """What the peak learning rate is multiplied by: a linear warm-up, then the schedule's shape over progress in [0, 1].

    `trapezoid` stays at the peak and falls linearly over the last quarter ("Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations", section 3, arXiv 2405.18392).
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}; change train.schedule")
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    progress = min(max(progress, 0.0), 1.0)
    if schedule == "cosine":
        return warmup * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "trapezoid":
        return warmup * min(1.0, (1 - progress) / COOLDOWN)
    return warmup


def progress(*, step: int, steps: int | None, minutes: float, max_minutes: float | None) -> float:
    """The part of the run that is over, in [0, 1]: by steps or by minutes, whichever is further."""
    by_steps = step / steps if steps else float(steps == 0)
    by_minutes = minutes / max_minutes if max_minutes else float(max_minutes == 0)
    return min(1.0, max(by_steps, by_minutes))
