"""Learning rates as pure functions of the step and of the part of the run that is over."""

import math

SCHEDULES = ("constant", "cosine", "trapezoid")


def learning_rate_factor(
    schedule: str,
    *,
    step: int,
    warmup_steps: int,
    progress: float,
    cooldown: float,
    floor: float,
) -> float:
    """What the peak learning rates are multiplied by, at `progress` in [0, 1].

    A linear warm-up, then the schedule's shape, which falls from 1 to `floor`. `trapezoid` stays at
    the peak and falls linearly over the last part of the run, `cooldown` ("Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", section 3, arXiv 2405.18392).
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}; change train.schedule")
    if not 0 < cooldown <= 1:
        raise ValueError(
            f"cooldown={cooldown} is no part of a run; it is above 0 and at most 1; change train.cooldown, or set train.schedule=constant"
        )
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    left = 1 - min(max(progress, 0.0), 1.0)
    shapes = {
        "constant": 1.0,
        "cosine": 0.5 * (1 - math.cos(math.pi * left)),
        "trapezoid": min(1.0, left / cooldown),
    }
    return warmup * (floor + (1 - floor) * shapes[schedule])


def check_end(steps: int | None, max_minutes: float | None) -> None:
    """ValueError unless something ends the run."""
    if steps is None and max_minutes is None:
        raise ValueError("neither steps nor max_minutes is given, so the run would never end; set one of them")


def progress(*, step: int, steps: int | None, minutes: float, max_minutes: float | None) -> float:
    """The part of the run that is over, in [0, 1]: by steps or by minutes, whichever is further."""
    by_steps = 0.0 if steps is None else step / steps if steps > 0 else 1.0
    by_minutes = 0.0 if max_minutes is None else minutes / max_minutes if max_minutes > 0 else 1.0
    return min(1.0, max(by_steps, by_minutes))
