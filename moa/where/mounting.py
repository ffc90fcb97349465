"""Mounting: MoA into a UNet and out again, without a trace.

Each attention module is retyped in place, as torch.nn.utils.parametrize does: its class becomes a subclass of its class
and it gets children `personal` and `router`. LoRA, processors and hooks that others add before or after stay where they
are. One child `moa` of the UNet owns the fusions, and a state-dict hook hides all of it: the UNet saves as the prior.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.hooks import CpuOffload
from torch import Tensor, nn

from moa.prompt.encoder import SubjectEncoder
from moa.where.adapter import MoAAdapter
from moa.where.context import MoAContext, Trace
from moa.where.mixture import MixtureOfAttention, mixture_class
from moa.where.recorder import Recorder
from moa.where.sites import find_sites
from moa.where.subjects import Subjects

CHILD = "moa"
OURS = (CHILD, "personal", "router")


class Mounted(nn.Module):
    """The adapters in one UNet. It is the UNet's child `moa`; `mount` makes it and the last `remove` unmakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.fusion = nn.ModuleDict()
        self.adapters: dict[str, MoAAdapter] = {}
        self.encoders: dict[str, SubjectEncoder] = {}
        self.layers: dict[str, dict[str, int]] = {}
        self.classes: dict[str, type] = {}
        self.handles: list = []
        self.active: Subjects | None = None
        self.trace: Trace | Recorder | None = None

    @contextmanager
    def subjects(self, subjects: Subjects | None, trace: Trace | Recorder | None = None) -> Iterator[None]:
        """Inside, every call of the UNet sees these subjects, whichever pipeline makes it."""
        before = self.active, self.trace
        self.active, self.trace = subjects, trace
        try:
            yield
        finally:
            self.active, self.trace = before

    def context(self, sample: Tensor, timestep: Tensor | float | int, text: Tensor) -> MoAContext | None:
        """The context of one UNet call, or None: then the prior's code runs untouched."""
        if self.active is None or not self.active.adapters:
            return None
        times = torch.as_tensor(timestep, device=sample.device).float().reshape(-1).expand(len(sample))
        text = text[0] if isinstance(text, tuple) else text
        experts = self.active.experts(self.fusion, self.layers, times, text)
        if not experts:
            if isinstance(self.trace, Recorder):
                self.trace.skip()
            return None
        size = tuple(sample.shape[-2:])
        trace = None if self.trace is None else self.trace.open(experts, size)
        return MoAContext(experts, size, times, self.active.first(len(sample)), self.active.cache, trace)


def _before_forward(unet: nn.Module, args: tuple, kwargs: dict):
    """Pre-hook: hand the context down with the call, as one more cross-attention argument.

    The fusion runs here, before `forward`, which is where a model that is offloaded as a whole would be fetched: that is done first.
    """
    names = ("sample", "timestep", "encoder_hidden_states")
    call = {**dict(zip(names, args, strict=False)), **kwargs}
    if isinstance(getattr(unet, "_hf_hook", None), CpuOffload):
        unet._hf_hook.pre_forward(unet)
    context = unet.moa.context(call["sample"], call["timestep"], call["encoder_hidden_states"])
    if context is None:
        return None
    if len(args) > 6:
        raise ValueError("Pass cross_attention_kwargs to the UNet by keyword: MoA adds its context there.")
    return args, {**kwargs, "cross_attention_kwargs": {**(kwargs.get("cross_attention_kwargs") or {}), "moa": context}}


def _hide(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    """State-dict hook: what MoA added to the UNet, or to one attention layer, is not the prior's."""
    for key in [key for key in state if key.startswith(prefix) and key[len(prefix) :].split(".")[0] in OURS]:
        del state[key]


def _not_missing(module: nn.Module, incompatible) -> None:
    """Load hook: a plain checkpoint of the prior misses nothing."""
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if not set(key.split(".")) & set(OURS)]


def mount(unet: nn.Module, adapter: MoAAdapter, name: str = "default") -> Mounted:
    """Put an adapter into a UNet under a name; the UNet owns its tensors until `remove`.

    Errors: ValueError for a name that is taken or no identifier, for an adapter of another structure (both are named),
    and for a UNet with another kind of attention.
    """
    mounted = getattr(unet, CHILD, None)
    if mounted is not None and name in mounted.adapters:
        raise ValueError(f"An adapter named {name!r} is already loaded; give adapter_name= another name or unload it first.")
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(f"adapter_name={name!r} is no plain name; use letters, digits and underscores, such as 'people'.")
    adapter.check(unet)
    if adapter.mounted:
        raise ValueError(f"This adapter is already mounted; load it a second time to use it twice (asked for as {name!r}).")
    mounted = mounted or _open(unet)
    for site in adapter.config.sites:
        module = unet.get_submodule(site.name)
        module.personal[name], module.router[name] = adapter.branches[site.name], adapter.routers[site.name]
    mounted.fusion[name] = adapter.fusion
    mounted.adapters[name] = adapter
    mounted.layers[name] = adapter.config.layer_numbers
    adapter.mounted = True
    return mounted


def remove(unet: nn.Module, name: str | None = None) -> None:
    """Take one adapter (or all) out again; with the last one the UNet is what it was. A second call does nothing."""
    mounted = getattr(unet, CHILD, None)
    if mounted is None:
        return
    for each in [n for n in mounted.adapters if name in (None, n)]:
        adapter = mounted.adapters.pop(each)
        for site in adapter.config.sites:
            module = unet.get_submodule(site.name)
            del module.personal[each], module.router[each]
        del mounted.fusion[each], mounted.layers[each]
        mounted.encoders.pop(each, None)
        adapter.mounted = False
    if not mounted.adapters:
        _close(unet, mounted)


@contextmanager
def set_aside(unet: nn.Module) -> Iterator[None]:
    """Inside, the UNet's modules are the prior's alone: for whatever walks over all of them. It cannot be called meanwhile."""
    holders = [unet, *(module for module in unet.modules() if isinstance(module, MixtureOfAttention))]
    parts = [(module, name, module._modules[name]) for module in holders for name in OURS if name in module._modules]
    for module, name, _ in parts:
        del module._modules[name]
    try:
        yield
    finally:
        for module, name, part in parts:
            module._modules[name] = part


def _open(unet: nn.Module) -> Mounted:
    """Retype every attention layer, also those without an expert: all of them are handed the context."""
    mounted = Mounted()
    for site in find_sites(unet):
        module = unet.get_submodule(site.name)
        mounted.classes[site.name] = type(module)
        module.__class__ = mixture_class(type(module))
        module.site = site.name
        module.personal, module.router = nn.ModuleDict(), nn.ModuleDict()
        mounted.handles += _disguise(module)
    unet.add_module(CHILD, mounted)
    mounted.handles += [unet.register_forward_pre_hook(_before_forward, with_kwargs=True), *_disguise(unet)]
    return mounted


def _disguise(module: nn.Module) -> list:
    """Hooks that keep what MoA added out of a module's state dict."""
    return [module.register_state_dict_post_hook(_hide), module.register_load_state_dict_post_hook(_not_missing)]


def _close(unet: nn.Module, mounted: Mounted) -> None:
    for name, original in mounted.classes.items():
        module = unet.get_submodule(name)
        del module.personal, module.router, module.site
        module.__class__ = original
    for handle in mounted.handles:
        handle.remove()
    delattr(unet, CHILD)
