"""Where to compute, and in which precision: what settings name, or what suits the machine."""

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


def find_precision(name: str, device: torch.device) -> str:
    """The precision asked for, or with "auto" bf16 where the device multiplies it faster than float32; fp16 on other graphics cards."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and multiplies_bf16() else "no"


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bfloat16; False where PyTorch cannot tell."""
    can = getattr(torch.cpu, "get_capabilities", dict)()
    return any(can.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))
