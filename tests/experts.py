"""MoA on a small UNet, for the laws and the layer's own tests."""

from dataclasses import dataclass

import torch
from torch import nn

from moa.where import MoAAdapter, mount
from moa.where.layout import Placed
from moa.where.router import MLPRouter
from moa.where.subjects import Subjects

from families import make_unet, unet_call

IMAGE_WIDTH = 24


def make_adapter(
    unet: nn.Module,
    *,
    trained: bool = True,
    seed: int = 1,
    router=MLPRouter,
    tokens: int = 1,
    layers="all",
    branch="full",
    share_out=False,
    space_time=True,
) -> MoAAdapter:
    """An adapter for a UNet; `trained` fills every matrix with noise, so that it changes the picture."""
    torch.manual_seed(seed)
    adapter = MoAAdapter.for_unet(
        unet, encoder="prior", image_width=IMAGE_WIDTH, prior="test", router=router, tokens=tokens, layers=layers,
        branch=branch, rank=4, share_out=share_out, space_time=space_time, fusion_width=32,
    )  # fmt: skip
    if trained:
        for parameter in adapter.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter.data, std=0.2)
    return adapter


def features(seed: int = 0, pictures: int = 1) -> torch.Tensor:
    """Features of a subject's pictures."""
    return torch.randn(pictures, 5, IMAGE_WIDTH, generator=torch.Generator().manual_seed(seed))


def alice(position: int = 2, adapter: str = "people", scale: float = 1.0, region=None) -> Placed:
    """A subject whose noun is token `position`."""
    return Placed("alice", adapter, position, features(7), scale, region)


@dataclass
class Scene:
    """A UNet with a mounted adapter, one call of it, and what the prior alone answered."""

    unet: nn.Module
    adapter: MoAAdapter
    call: dict
    prior: torch.Tensor

    def answer(self, subjects: Subjects | None, **changes) -> torch.Tensor:
        """The UNet's answer with these subjects."""
        with torch.no_grad(), self.unet.moa.subjects(subjects):
            return self.unet(**{**self.call, **changes}).sample


def make_scene(family: str = "sd15", *, batch: int = 2, dtype: torch.dtype = torch.float32, **adapter) -> Scene:
    """A mounted scene; keyword arguments go to `make_adapter`."""
    unet = make_unet(family).to(dtype)
    call = unet_call(family, batch, dtype=dtype)
    with torch.no_grad():
        prior = unet(**call).sample
    made = make_adapter(unet, **adapter)
    mount(unet, made, "people")
    made.to(dtype)
    return Scene(unet, made, call, prior)
