"""Identities, states and splits."""

from dataclasses import asdict

import numpy as np
import pytest

from moa.data.world import CLASSES, SPLITS, identity, labels, looks, split_of
from moa.data.world import words as w
from moa.data.world.people import SHIRT_OUTFITS, Person, PersonState

TABLES = [table for name, table in vars(w).items() if name.endswith("_COLORS")]


@pytest.mark.parametrize("kind", CLASSES)
def test_identities_are_reproducible_and_in_their_split(kind):
    for split in SPLITS:
        for index in range(20):
            who = identity(split, index, kind)
            assert type(who) is CLASSES[kind][0] and split_of(who) == split
            identity.cache_clear()
            assert identity(split, index, kind) == who


def test_no_visible_combination_is_in_two_splits():
    seen = {split: {identity(split, i, "person").key for i in range(150)} for split in SPLITS}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["test"] & seen["validation"]


def test_split_depends_on_what_one_sees_only():
    who = identity("test", 0, "person")
    for index in range(200):
        who = identity("test", index, "person")
        for nose in ("block", "wide"):
            assert split_of(Person(**{**asdict(who), "nose": nose})) == "test"
        if who.top in w.HAIR_STYLES:  # the colour of a hat that is not worn decides nothing
            assert split_of(Person(**{**asdict(who), "hat": "#f2f2f2"})) == "test"


@pytest.mark.parametrize("kind", CLASSES)
def test_looks_differ_pairwise_and_fewer_are_a_prefix_of_more(kind):
    for index in range(8):
        four = looks("train", index, kind, 4)
        assert all(a.differs(b) for i, a in enumerate(four) for b in four[:i])
        assert looks("train", index, kind, 2) == four[:2]


def test_people_are_balanced():
    people = [identity("train", i, "person") for i in range(1000)]
    beards, glasses = (np.mean([getattr(p, part) != "none" for p in people]) for part in ("beard", "glasses"))
    assert 0.44 < beards < 0.56 and 0.44 < glasses < 0.56
    assert {p.top for p in people} == {*w.HAIR_STYLES, *w.HATS, "none"}


@pytest.mark.parametrize("table", TABLES)
def test_every_color_has_one_word(table):
    colors = sum(table.values(), ())
    assert len(colors) == len(set(colors))


def test_options_use_the_names_of_the_style():
    from moa.data.world.sprites import style

    for kind in CLASSES:
        for index in range(30):
            who, state = identity("train", index, kind), looks("train", index, kind)[0]
            parts = style(who.style).components()
            for name, value in state.options(who).items():
                if name.endswith("Variant"):
                    assert value in parts[name.removesuffix("Variant")].variants()


def person(**changes):
    base = {"top": "short", "hair": "#3b2f2f", "hat": "#f2f2f2", "skin": "#f5d0b0", "beard": "none", "glasses": "none"}
    return Person(**{**base, "nose": "block", "eyebrows": "flat", "cheeks": "none", **changes})


def state(**changes):
    base = {"outfit": "plain", "shirt": "#40c057", "jacket": "#343a40", "trousers": "#3b5b8c", "shoes": "#f1f3f5"}
    return PersonState(**{**base, "eyes": "closed", "mouth": "smile", "flip": False, "rotation": 0, **changes})


def test_hats_and_bald_heads_hide_the_hair_color():
    assert labels(person(), state())["hair_color"] == "black"
    for top in ("cap", "beanie", "animalEars", "bunnyEars", "none"):
        assert "hair_color" not in labels(person(top=top), state())
        assert ("hat_color" in labels(person(top=top), state())) == (top != "none")


def test_outfits_are_called_by_the_color_that_shows():
    for outfit in w.OUTFITS:
        seen = labels(person(), state(outfit=outfit))
        assert ("shirt_color" in seen) == (outfit in SHIRT_OUTFITS)
        expected = {"overalls": "blue", "checker": None}.get(outfit, "green" if outfit in SHIRT_OUTFITS else "black")
        assert seen.get("outfit_color") == expected
        assert ("trousers_color" in seen) == (outfit not in ("coat", "dress"))


def test_what_cannot_be_seen_has_no_label():
    assert "eyes" not in labels(person(glasses="shades"), state())
    assert "expression" not in labels(person(beard="full"), state())  # a dark line in a dark beard
    assert "expression" in labels(person(beard="full"), state(mouth="laugh"))
    assert "beard" not in labels(person(beard="full", hair="#7b4a2d", skin="#7d4a26"), state())
    assert "beard" not in labels(person(beard="stubble", skin="#6a3d1f"), state())
    assert labels(person(beard="full"), state())["beard_color"] == "black"


def test_bad_arguments_say_what_is_allowed():
    with pytest.raises(ValueError, match="allowed are train"):
        identity("dev", 0)
    with pytest.raises(ValueError, match="allowed are person"):
        identity("train", 0, "dog")
    with pytest.raises(ValueError, match="1 to 6"):
        looks("train", 0, count=7)
