"""The sheet of layers and steps, and the names of layers."""

import numpy as np
import pytest
import torch

from moa.pipelines.layers import RAMP, layer_sheet, paint, short_names, spread

DOWN, UP = "down_blocks.0.attentions.0.transformer_blocks.0.attn{}", "up_blocks.1.attentions.{}.transformer_blocks.{}.attn2"
SITES = [
    DOWN.format(1),
    DOWN.format(2),
    "mid_block.attentions.0.transformer_blocks.0.attn1",
    UP.format(0, 0),
    UP.format(1, 0),
    UP.format(1, 1),
]


def routed(steps: range, value: float = 0.5, sizes=(8, 8, 4, 8, 8, 8)) -> dict:
    """Maps of two pictures with two experts; the second expert of the second picture has `value` everywhere."""
    maps = {}
    for step in steps:
        for site, size in zip(SITES, sizes, strict=True):
            maps[step, site] = torch.zeros(2, 3, size, 2 * size)
            maps[step, site][:, 0] = 1
            maps[step, site][1] = torch.tensor([1 - value, 0, value]).view(3, 1, 1)
    return maps


def share_of(page, color) -> float:
    """How much of a page has a colour."""
    return float(np.all(np.asarray(page) == np.uint8(np.round(color)), axis=-1).mean())


def test_names_say_what_tells_layers_apart():
    assert short_names(SITES) == ["down 0 self", "down 0 cross", "mid self", "up 1.0 cross", "up 1.1.0 cross", "up 1.1.1 cross"]
    assert short_names(["elsewhere.attn"]) == ["elsewhere.attn"]


def test_every_layer_of_every_family_has_a_name_of_its_own(family):
    from moa.where.sites import find_sites

    from families import make_unet

    names = short_names([site.name for site in find_sites(make_unet(family))])
    assert len(set(names)) == len(names) and all(len(name) < 16 for name in names)


def test_steps_are_spread_from_the_first_to_the_last():
    assert spread(range(20), 5) == [0, 5, 10, 14, 19] and spread([3, 4], 5) == [3, 4]


def test_the_sheet_shows_one_expert_of_one_picture():
    dark, light = (layer_sheet(routed(range(4), 1.0), expert, row=row) for row, expert in ((1, 1), (1, 2)))
    assert dark.size == light.size
    assert share_of(dark, RAMP[0]) > 0.4 and share_of(light, RAMP[-1]) > 0.4
    assert share_of(layer_sheet(routed(range(4), 1.0), 2, row=0), RAMP[0]) > 0.4
    assert share_of(layer_sheet(routed(range(4), 0.5), 2, row=1), RAMP[2]) > 0.4


def test_more_steps_make_no_wider_sheet():
    few, many, later = (layer_sheet(routed(steps), columns=3) for steps in (range(3), range(30), range(10, 13)))
    assert few.size == many.size == later.size


def test_layers_that_are_no_multiples_of_each_other_have_a_mean():
    layer_sheet(routed(range(2), sizes=(7, 7, 3, 5, 5, 5)))


def test_colours_get_lighter_all_along():
    bar = np.asarray(paint(np.linspace(0, 1, 50)[None], (50, 1)).convert("L"), int)[0]
    assert (np.diff(bar) >= 0).all() and bar[0] < 40 and bar[-1] > 230


def test_no_maps_are_an_error():
    with pytest.raises(ValueError, match="no maps of layers.*output_routing='full'"):
        layer_sheet({})
