"""What an adapter is built from, as its JSON says it."""

from dataclasses import dataclass, field

from moa.where.sites import Site, inner_sites

FORMAT_VERSION = 1
NOTES = ("versions", "sha256")  # entries of the JSON that are about the files, not the adapter


@dataclass(frozen=True, slots=True)
class MoAConfig:
    """Everything an adapter is built from, without a UNet at hand.

    `rank` None is the paper's full branch. `prior`, `structure` and `content` name the prior it was trained on; `encoder`
    and `image_width` its subject encoder; `noun` is what a placeholder reads as when its subject brings no noun.
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
    position: bool = False
    noun: str = "person"
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
        if found != FORMAT_VERSION:
            raise ValueError(
                f"{source} has format_version {found!r}; this version of moa reads {FORMAT_VERSION}. Update moa-diffusion, or train the adapter again."
            )
        try:
            sites = tuple(Site(**site) for site in values["sites"])
            return MoAConfig(**{k: v for k, v in values.items() if k not in NOTES} | {"sites": sites})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{source} is no MoA adapter config ({short(error)}); give a folder written by save_pretrained.") from error


def short(error: Exception) -> str:
    """An error of a library in one line."""
    return " ".join(str(error).split())[:300]
