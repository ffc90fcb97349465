"""Which attention layers there are, and which of them are the inner ones."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from moa.where.sites import find_sites, inner_sites

from experts import make_adapter
from families import LEVELS, UNETS, make_unet

DEEP = dict(
    block_out_channels=(16, 32, 64),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
)
OUTER = ["down_blocks.0.attentions.0", "up_blocks.2.attentions.0", "up_blocks.2.attentions.1"]
INNER = [
    "down_blocks.1.attentions.0", "down_blocks.2.attentions.0", "up_blocks.0.attentions.0", "up_blocks.0.attentions.1",
    "up_blocks.1.attentions.0", "up_blocks.1.attentions.1", "mid_block.attentions.0",
]  # fmt: skip


def layers(blocks: list[str], kinds: tuple[str, ...] = ("attn1", "attn2")) -> list[str]:
    return [f"{block}.transformer_blocks.0.{kind}" for block in blocks for kind in kinds]


@pytest.fixture(scope="module")
def deep() -> UNet2DConditionModel:
    """Attention of three widths, as in SD 1.x and in the embedded prior."""
    torch.manual_seed(0)
    return UNet2DConditionModel(**{**LEVELS, **UNETS["sd15"], **DEEP}).eval()


def test_of_three_widths_the_outermost_blocks_are_left_out(deep):
    sites = find_sites(deep)
    assert {site.name: site.width for site in sites if site.name in layers(OUTER)} == dict.fromkeys(layers(OUTER), 16)
    assert {site.name for site in sites} == {*layers(OUTER), *layers(INNER)}
    assert [site.name for site in inner_sites(sites)] == [site.name for site in sites if site.name in layers(INNER)]
    assert len(inner_sites(sites)) == len(layers(INNER))


def test_maps_are_read_off_the_inner_cross_attention(deep):
    assert make_adapter(deep).config.map_sites == set(layers(INNER, ("attn2",)))


def test_what_counts_are_the_widths_that_an_adapter_sits_on(deep):
    chosen = make_adapter(deep, layers=[*OUTER, "mid_block"])
    assert chosen.config.map_sites == set(layers([*OUTER, "mid_block.attentions.0"], ("attn2",)))  # of two widths, all


def test_of_fewer_widths_every_layer_is_an_inner_one(family):
    sites = find_sites(make_unet(family))
    assert len({site.width for site in sites}) < 3 and inner_sites(sites) == sites
