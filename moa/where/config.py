"""What an adapter is built from, as its JSON says it."""

import math
from dataclasses import dataclass, field

from moa.where.sites import PROJECTIONS, Site, inner_sites

FORMAT_VERSION = 2
NOTES = ("versions", "sha256")  # entries of the JSON that are about the files, not the adapter


@dataclass(frozen=True, slots=True)
class MoAConfig:
    """Everything an adapter is built from, without a UNet at hand.

    `rank` None is the paper's full branch. `prior`, `structure` and `content` name the prior it was trained on; `encoder`
    and `image_width` its subject encoder; `noun` is what a placeholder reads as when its subject brings no noun. `fingerprinted`
    are the projections whose weights `content` is of; `pitch` is that of the space-time conditioning.
    """

    sites: tuple[Site, ...]
    structure: str
    content: str | None
    prior: str
    encoder: str
    image_width: int
    text_width: int
    router: str = "mlp"
    router_options: dict[str, float | int] = field(default_factory=dict)
    rank: int | None = None
    share_out: bool = False
    tokens: int = 1
    fusion_width: int = 512
    space_time: bool = True
    pitch: float = 1.0
    position: bool = False
    noun: str = "person"
    fingerprinted: tuple[str, ...] = PROJECTIONS
    format_version: int = FORMAT_VERSION

    @property
    def layer_numbers(self) -> dict[str, int]:
        """A number for each cross-attention layer, for the space-time conditioning."""
        return {s.name: i for i, s in enumerate(s for s in self.sites if s.cross)}

    @property
    def map_sites(self) -> frozenset[str]:
        """Cross-attention layers whose attention tells subjects apart: the inner ones (all, in a UNet of under three levels)."""
        return frozenset(site.name for site in inner_sites(self.sites) if site.cross)

    @staticmethod
    def from_dict(values: dict, source: str) -> "MoAConfig":
        """Read a config's JSON.

        Errors: ValueError naming `source` for a newer format, unknown or missing entries.
        """
        found = values.get("format_version")
        if found not in (1, FORMAT_VERSION):
            raise ValueError(
                f"{source} has format_version {found!r}; this version of moa reads 1 to {FORMAT_VERSION}. Update moa-diffusion, or train the adapter again."
            )
        try:
            values = from_format_1(values) if found == 1 else values
            sites = tuple(Site(**site) for site in values["sites"])
            return MoAConfig(
                **{k: v for k, v in values.items() if k not in NOTES} | {"sites": sites, "fingerprinted": tuple(values["fingerprinted"])}
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{source} is no MoA adapter config ({short(error)}); give a folder written by save_pretrained.") from error


def from_format_1(values: dict) -> dict:
    """A config of format 1 as format 2 says it: heads unknown, one projection fingerprinted, space-time frequencies in cycles."""
    sites = [site | {"heads": 0} for site in values["sites"]]
    return values | {"sites": sites, "fingerprinted": ["to_q"], "pitch": 2 * math.pi, "format_version": FORMAT_VERSION}


def short(error: Exception) -> str:
    """An error of a library in one line."""
    return " ".join(str(error).split())[:300]
