"""Where to compute: the device that a setting names."""

import torch


def find_device(name: str) -> torch.device:
    """The device asked for ("cpu", "cuda", "cuda:1", "mps"), or with "auto" the best there is.

    Errors: ValueError for one that is not here.
    """
    here = {"cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0, "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if name == "auto":
        return torch.device(next(kind for kind in here if here[kind]))
    kind, _, index = name.partition(":")
    if not (index or "0").isdigit() or int(index or 0) >= here.get(kind, 0):
        raise ValueError(f"device={name!r} is not here; choose one of auto, {', '.join(kind for kind in here if here[kind])}.")
    return torch.device(name)
