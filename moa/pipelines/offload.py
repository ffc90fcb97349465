"""Adapters beside diffusers' offloading: they come and go while it is on, and stay on the device that computes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.hooks import CpuOffload

from moa.where.mounting import set_aside


class MoAOffloadMixin:
    """What a pipeline with adapters needs for `enable_model_cpu_offload` and `enable_sequential_cpu_offload`."""

    def enable_sequential_cpu_offload(self, gpu_id: int | None = None, device: torch.device | str | None = None) -> None:
        """As diffusers', for the prior alone: it fetches weights when their own module is called, and not all of an adapter's are used so."""
        with set_aside(self.unet):
            super().enable_sequential_cpu_offload(gpu_id, device)
        for adapter in self.moa_adapters.values():
            adapter.to(self._offload_device, self.unet.dtype)

    @contextmanager
    def _without_offload(self) -> Iterator[None]:
        """Inside, every weight is in its place; offloading that was on is on again afterwards."""
        hook = getattr(self.unet, "_hf_hook", None)
        if hook is None:
            yield
            return
        again = self.enable_model_cpu_offload if isinstance(hook, CpuOffload) else self.enable_sequential_cpu_offload
        device = self._offload_device
        self.remove_all_hooks()
        try:
            yield
        finally:
            again(device=device)
