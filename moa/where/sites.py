"""Where an adapter can sit: the attention layers of a UNet, and fingerprints that tell one prior from another."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import nn

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
IP_ADAPTER = (
    "encoder_hid_proj"  # the child of a UNet in which diffusers keeps an IP-Adapter's projection: no layer of it, but attention too
)


@dataclass(frozen=True, slots=True)
class Site:
    """One attention layer: its module name, what queries (`width`) and keys (`context_width`) read, `inner_width` of all heads.

    `heads` is their number, 0 where it is not known (adapters of format 1 did not say).
    """

    name: str
    cross: bool
    width: int
    context_width: int
    inner_width: int
    heads: int


def find_sites(unet: nn.Module) -> list[Site]:
    """Every attention layer of a UNet of the SD family, in the order of the modules.

    Errors: ValueError naming the first attention layer of another kind, or that there is none at all.
    """
    blocks = [name for name, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)]
    inside = {f"{block}.{which}" for block in blocks for which in ("attn1", "attn2")}
    sites = []
    for name, module in unet.named_modules():
        if "processor" in name.split(".") or name.split(".")[0] == IP_ADAPTER or not _is_attention(module):
            continue
        if name not in inside or not _is_supported(module):
            raise ValueError(
                f"{type(unet).__name__} has an attention layer {name!r} ({type(module).__name__}) that is no plain self- or "
                "cross-attention of a transformer block; MoA mounts on the UNets of SD 1.x, SD 2.x and SDXL."
            )
        cross = module.is_cross_attention
        sites.append(Site(name, cross, module.query_dim, module.cross_attention_dim, module.inner_dim, module.heads))
    if not sites:
        raise ValueError(f"{type(unet).__name__} has no attention layer; MoA mounts on the UNets of SD 1.x, SD 2.x and SDXL.")
    return sites


def _is_attention(module: nn.Module) -> bool:
    return isinstance(module, Attention) or (hasattr(module, "set_processor") and hasattr(module, "processor"))


def _is_supported(module: nn.Module) -> bool:
    others = ("group_norm", "spatial_norm", "norm_q", "norm_k", "norm_cross", "added_kv_proj_dim")
    plain = isinstance(module, Attention) and all(getattr(module, name, None) is None for name in others)
    return plain and module.inner_kv_dim == module.inner_dim and not module.pre_only


def select(sites: list[Site], layers: str | list[str]) -> list[Site]:
    """The sites an adapter takes: 'all', 'cross', 'self', or a list of name parts ('mid_block', 'attn2').

    Errors: ValueError when a name part matches nothing.
    """
    if layers == "all":
        return sites
    if layers in ("cross", "self"):
        return [site for site in sites if site.cross == (layers == "cross")]
    parts = [layers] if isinstance(layers, str) else list(layers)
    if not parts:
        raise ValueError(
            f"layers={layers!r} takes no attention layer; give 'all', 'cross', 'self' or parts of names such as {sites[0].name!r}."
        )
    for part in parts:
        if not any(part in site.name for site in sites):
            raise ValueError(
                f"layers={part!r} matches no attention layer; give 'all', 'cross', 'self' or parts of names such as {sites[0].name!r}."
            )
    return [site for site in sites if any(part in site.name for part in parts)]


def structure_of(sites: list[Site]) -> str:
    """A fingerprint of the prior's structure: 12 hexadecimal digits over the names, widths and heads of all attention layers."""
    known = [{name: value for name, value in asdict(site).items() if value or name != "heads"} for site in sites]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


def content_of(unet: nn.Module, sites: list[Site], projections: Sequence[str] = PROJECTIONS) -> str | None:
    """A fingerprint of the prior's weights, the same in float32 and float16; None where the precision forbids one (bf16).

    It reads one row of each projection: any finetune moves them all.
    """
    digest = hashlib.sha256()
    for name in (f"{site.name}.{projection}" for site in sites for projection in projections):
        layer = unet.get_submodule(name)
        weight = getattr(layer, "base_layer", layer).weight
        if weight.dtype not in (torch.float16, torch.float32, torch.float64) or weight.is_meta:
            return None
        digest.update(weight[0].detach().to("cpu", torch.float16).numpy().tobytes())
    return digest.hexdigest()[:12]


def inner_sites(sites: tuple[Site, ...] | list[Site]) -> list[Site]:
    """The layers the router and object losses, and the subjects' maps, look at: not the outermost blocks of a deep UNet.

    The paper leaves out the first and last blocks (2404.11565, section 3; which ones could not be checked); a UNet with
    fewer than three widths of attention keeps all.
    """
    outermost = min(site.width for site in sites)
    deep = len({site.width for site in sites}) >= 3
    return [site for site in sites if not deep or site.width > outermost]
