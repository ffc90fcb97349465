"""What a UNet call costs with MoA mounted, as a ratio to the prior's own call in the same run.

    python benchmarks/overhead.py                       # the embedded prior's shape, on the CPU
    python benchmarks/overhead.py --shape sd15 --size 32
    python benchmarks/overhead.py --shape sdxl --size 128 --device cuda --dtype float16

Weights are random in the real shapes, adapters have the settings of conf/where/moa.yaml but for what a row says. A call is as a
pipeline makes it: one step of a run whose steps are known, with the recorder that gathers the routing maps (one row leaves it out).
Calls alternate between prior and MoA, and medians of the pairs' ratios are printed; `flops` counts matrix products and
convolutions, `peak` the most bytes of tensors a call holds at once beyond the weights.
"""

import argparse
import statistics
import time
import weakref
from collections.abc import Callable
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from moa.where import MoAAdapter, mount, remove
from moa.where.layout import Placed
from moa.where.recorder import Recorder
from moa.where.subjects import Subjects

SHAPES = {
    "tiny": dict(
        sample_size=16, in_channels=8, out_channels=8, block_out_channels=(64, 128, 192), layers_per_block=1, norm_num_groups=16,
        attention_head_dim=(2, 4, 6), cross_attention_dim=128,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    ),
    "sd15": dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
    "sdxl": dict(
        sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    ),
}  # fmt: skip
ADAPTER = dict(image_width=192, tokens=4, fusion_width=192)  # of the embedded prior's encoder, and conf/where/moa.yaml
OPTIONS = {
    "mounted, no subject": dict(subject=False),
    "full": dict(),
    "full, no recorder": dict(recorded=False),
    "full, both halves": dict(both=True),
    "full, share_out": dict(share_out=True),
    "full, layers=cross": dict(layers="cross"),
    "lowrank": dict(branch="lowrank"),
    "lowrank, share_out": dict(branch="lowrank", share_out=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--size", type=int, help="side of the latents (default: the shape's own)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(**SHAPES[arguments.shape]).to(dtype).eval().requires_grad_(False)
    call = make_call(unet, arguments.size or unet.config.sample_size, device, dtype)
    size = call["sample"].shape[-1]
    print(
        f"{arguments.shape} on {device}, {arguments.dtype}, latents {size} x {size}, batch 2 (guidance), {torch.get_num_threads()} threads"
    )
    print(f"{'':22}{'time':>8}{'flops':>8}{'peak':>8}{'added weights':>16}")
    base = measure_once(lambda: unet(**call), device)
    for name, option in OPTIONS.items():
        print(row(name, unet, call, base, device, dtype, arguments.repeats, **option), flush=True)


def make_call(unet: UNet2DConditionModel, size: int, device: torch.device, dtype: torch.dtype) -> dict:
    """One call with guidance: an unconditional and a conditional row."""
    make = dict(device=device, dtype=dtype)
    call = {
        "sample": torch.randn(2, unet.config.in_channels, size, size, **make),
        "timestep": torch.tensor(500, device=device),
        "encoder_hidden_states": torch.randn(2, 77, unet.config.cross_attention_dim, **make),
    }
    if unet.config.addition_embed_type:
        call["added_cond_kwargs"] = {"text_embeds": torch.randn(2, 1280, **make), "time_ids": torch.full((2, 6), 1024.0, **make)}
    return call


def row(
    name: str, unet, call: dict, base: tuple[int, int], device, dtype, repeats: int,
    *, subject: bool = True, recorded: bool = True, both: bool = False, share_out: bool = False, layers: str = "all", branch: str = "full",
) -> str:  # fmt: skip
    """One option's line of the table."""
    adapter = MoAAdapter.for_unet(unet, encoder="prior", layers=layers, branch=branch, share_out=share_out, **ADAPTER)
    mounted = mount(unet, adapter, "people")
    adapter.to(device, dtype)
    alice = [Placed("alice", "people", 3, torch.randn(1, 65, ADAPTER["image_width"], device=device))] if subject else []
    steps, prompts = torch.tensor([900, 500, 100], device=device), [alice, alice] if both else [alice]
    subjects = Subjects(prompts, timesteps=lambda: steps, cache={})
    recorder = Recorder(("people",), len(prompts), attention_sites=adapter.config.map_sites) if recorded else None

    def with_moa() -> None:
        with mounted.subjects(subjects, recorder):
            unet(**call)

    flops, peak = measure_once(with_moa, device)
    ratios = [seconds(with_moa, device) / seconds(lambda: unet(**call), device) for _ in range(repeats)]
    added = sum(p.numel() for p in adapter.parameters()) / sum(p.numel() for p in unet.parameters() if p.numel())
    remove(unet)
    return f"{name:22}{statistics.median(ratios):7.2f}x{flops / base[0]:7.2f}x{peak / max(base[1], 1):7.2f}x{100 * added:14.1f} %"


@torch.no_grad()
def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall-clock time of one run."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


@torch.no_grad()
def measure_once(run: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Floating-point operations of a warmed-up run, and the most bytes it holds beyond what was there before."""
    run()
    with FlopCounterMode(display=False) as counter:
        run()
    with peak_memory(device) as peak:
        run()
    return counter.get_total_flops(), peak[0]


@contextmanager
def peak_memory(device: torch.device):
    """Bytes at the peak: the allocator's own count on a GPU; on a CPU the storages that operators made and nobody has dropped yet."""
    peak = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak[0] = torch.cuda.max_memory_allocated() - before
        return
    with LiveStorages() as live:
        yield peak
    peak[0] = live.peak


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of storages born inside the context, until they die."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.peak = set(), 0, 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        made = operator(*args, **kwargs or {})
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), given)
        return made

    def _count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.alive or key in given:
            return
        self.alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.now -= size


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
