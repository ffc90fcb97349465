"""What the first of several processes decides for all of them."""

from collections.abc import Callable

from accelerate import PartialState
from accelerate.utils import broadcast_object_list


def first_decides(decide: Callable[[], str | None]) -> str | None:
    """Calls `decide` in the first process; what it returns or raises is so in all of them.

    Raises: the ValueError or OSError of `decide`.
    """
    answer = [None, None]
    if PartialState().is_main_process:
        try:
            answer[0] = decide()
        except (ValueError, OSError) as error:
            answer[1] = error
    value, error = broadcast_object_list(answer)
    if error is not None:
        raise error
    return value
