"""Busts: what one sees of them, and how they are drawn."""

import io

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from moa.data.world import World, identity, labels, looks
from moa.data.world.busts import (
    BEARDS,
    BLACK_HAIR,
    COLORED_BEARDS,
    COLORED_HAIR,
    EXPRESSIONS,
    EYES,
    GLASSES,
    MOUTHS,
    OTHERS,
    Bust,
    BustState,
)
from moa.data.world.people import Person
from moa.data.world.sprites import rasterize, style, svg, with_margin


def bust(**changes):
    return Bust(**{"head": "short1", "hair": "#d6455d", "skin": "#f5d0b0", "beard": "none", "glasses": "none", **changes})


def state(**changes):
    return BustState(**{"shirt": "#40c057", "expression": "smile", "flip": False, "rotation": 0, **changes})


def test_every_part_of_the_style_is_drawn_but_masks_and_monsters():
    parts = style("open-peeps").components()
    assert {*COLORED_HAIR, *OTHERS} == set(parts["head"].variants()) and len(COLORED_HAIR) + len(OTHERS) == 48
    assert set(BEARDS) == set(parts["facialHair"].variants()) and len(BEARDS) == 16
    assert set(GLASSES) == set(parts["accessories"].variants()) and len(GLASSES) == 8
    assert {*EXPRESSIONS, "cyclops", "monster"} == set(parts["expression"].variants()) and len(EXPRESSIONS) == 28
    assert state().options(bust())["maskProbability"] == 0


def test_busts_are_balanced():
    busts = [identity("train", i, "bust") for i in range(1000)]
    shares = [np.mean([getattr(who, part) != "none" for who in busts]) for part in ("beard", "glasses")]
    shares.append(np.mean([who.head in COLORED_HAIR for who in busts]))
    assert all(0.44 < share < 0.56 for share in shares)
    assert {who.head for who in busts} == {*COLORED_HAIR, *OTHERS}


@pytest.mark.parametrize(("tables", "part", "default"), [
    ((COLORED_HAIR, OTHERS), "head", {}),
    ((COLORED_BEARDS, sorted(set(BEARDS) - set(COLORED_BEARDS))), "beard", {"head": "noHair1"}),
])  # fmt: skip
def test_the_colour_of_hair_shows_where_it_is_said_to(tables, part, default):
    for table, shows in zip(tables, (True, False), strict=True):
        for name in table:
            red, green = (bust(**{**default, part: name, "hair": color}) for color in ("#d6455d", "#3fb27f"))
            pictures = [svg(who.style, state().options(who)) for who in (red, green)]
            assert (pictures[0] != pictures[1]) == shows, name
            said = [who.labels().get("hair_color" if part == "head" else "beard_color") for who in (red, green)]
            assert said == (["red", "green"] if shows else ["black" if name in (*BLACK_HAIR, *BEARDS) else None] * 2)


def test_what_cannot_be_seen_has_no_label_and_no_words():
    for head in ("turban", "hijab", "hatBeanie", "hatHip", "bear", "noHair1"):
        seen = labels(bust(head=head), state())
        assert "hair_color" not in seen and ("hat" in seen) == (head != "noHair1")
        assert not any(color in " ".join(bust(head=head).phrases().values()) for color in ("red", "black"))
    assert "expression" in labels(bust(), state())
    assert "expression" not in labels(bust(beard="full3"), state())
    assert "expression" in labels(bust(beard="full3"), state(expression="rage"))
    assert "expression" not in labels(bust(glasses="sunglasses"), state(expression="rage"))
    assert "expression" in labels(bust(glasses="sunglasses"), state(expression="smileLOL"))
    assert "expression" not in labels(bust(), state(expression="serious"))
    assert not set(MOUTHS) & set(EYES)


def test_words_are_those_of_the_picture():
    who = bust(head="mohawk", beard="full4", glasses="eyepatch")
    assert who.phrases() == {"hair_style": "a red mohawk", "glasses": "an eyepatch", "beard": "a red beard", "skin": "pale skin"}
    assert who.noun.split()[-1] == Person.noun and who.plural.split()[-1] == Person.plural  # which the prior knows
    assert state(shirt="#f76707").clothes(who) == {"shirt_color": "an orange shirt"}
    assert state(expression="smile").acts(bust()) == {"expression": "smiling"}


@pytest.mark.parametrize("rotation", (-5, 0, 5))
@pytest.mark.parametrize("part", ({"head": "longAfro"}, {"head": "bun2"}, {"beard": "moustache8"}))
def test_the_canvas_cuts_nothing_but_the_chest(part, rotation):
    drawing = svg(Bust.style, state().options(bust(**part)) | {"rotate": rotation})
    picture = Image.open(io.BytesIO(rasterize(with_margin(drawing, Bust.margin), 220)))
    alpha = np.asarray(picture.getchannel("A"))
    assert not alpha[0].any() and not alpha[:, (0, -1)].any()
    assert (alpha[-1] >= 128).mean() > 0.4


def test_pictures_are_the_same_in_every_process_and_masks_reach_the_lower_edge(cache):
    world = World("test", references=1, kinds=("bust",), identities=12, length=6, empty=0.0, cache=cache)
    again = World("test", references=1, kinds=("bust",), identities=12, length=6, empty=0.0, cache=None)
    loaded = [example for batch in DataLoader(again, batch_size=2, num_workers=2, collate_fn=list) for example in batch]
    for mine, theirs in zip((world[i] for i in range(6)), loaded, strict=True):
        assert np.array_equal(mine.image, theirs.image) and mine.caption == theirs.caption
        assert any(mask[-1].any() for mask in mine.masks)
        for view in mine.subjects:
            assert view.reference_masks[0][-1].any() and 0.15 < view.reference_masks[0].mean() < 0.75
            others = looks("test", [identity("test", i, "bust") for i in range(3)].index(view.identity), "bust")
            assert view.state in others
