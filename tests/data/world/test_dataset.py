"""The dataset: reproducible, exact, the same with or without a cache and in every worker."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from moa.data.world import KINDS, World, identity, looks, render_reference, split_of, sprite
from moa.data.world.scenes import SCENES, draw_scene


def same(a, b):
    return (
        np.array_equal(a.image, b.image)
        and (a.caption, a.prompt, a.boxes, a.scene) == (b.caption, b.prompt, b.boxes, b.scene)
        and np.array_equal(a.masks, b.masks)
        and all(
            (s.identity, s.state, s.labels) == (t.identity, t.state, t.labels)
            and all(np.array_equal(p, q) for p, q in zip(s.references, t.references, strict=True))
            for s, t in zip(a.subjects, b.subjects, strict=True)
        )
    )


def test_the_pictures_that_the_shipped_weights_learned_from_stay_as_they_were(cache):
    """Adding a class, a scene or a word must not move them; dicebear and resvg as in constraints.txt."""
    world, digest = World("train", references=1, identities=12, cache=cache), hashlib.sha256()
    for example in (world[i] for i in range(8)):
        views = [(view.identity, view.state, view.labels) for view in example.subjects]
        digest.update(repr((example.caption, example.prompt, example.boxes, views)).encode())
        for picture in (example.image, example.masks, *(view.references[0] for view in example.subjects)):
            digest.update(picture.tobytes())
    assert {view.noun for i in range(8) for view in world[i].subjects} == set(KINDS)
    assert digest.hexdigest() == "16441d861b8b9c6e9141cafcc8a23748ae0c786ef3d0549a8d3116851fa36965"


def test_shapes_and_names(examples):
    for example in examples:
        count = len(example.subjects)
        assert example.image.shape == (128, 128, 3) and example.image.dtype == np.uint8
        assert example.masks.shape == (count, 128, 128) and len(example.boxes) == count
        assert example.scene in SCENES
        for i, subject in enumerate(example.subjects, 1):
            assert subject.name == f"s{i}"
            assert (f"<s{i}>" in example.prompt) == subject.placeholder
        assert not count or any(subject.placeholder for subject in example.subjects)


def test_examples_do_not_depend_on_cache_order_or_process(world, examples, cache, tmp_path):
    sprite.cache_clear()
    again = World("test", references=1, placeholders="some", identities=12, length=24, cache=None)
    assert all(same(again[i], examples[i]) for i in (7, 2, 23))
    loader = DataLoader(world, batch_size=4, num_workers=2, collate_fn=list)
    assert all(same(a, b) for a, b in zip((e for batch in loader for e in batch), examples, strict=True))


def test_a_cache_that_cannot_be_written_costs_time_only(world, examples, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    sprite.cache_clear()
    again = World("test", references=1, placeholders="some", identities=12, length=24, cache=tmp_path)
    assert np.array_equal(again[0].image, examples[0].image)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_picture_does_not_depend_on_references_or_placeholders(world, examples, cache):
    plain = World("test", placeholders="none", identities=12, length=24, cache=cache)
    for i in (1, 4):
        assert np.array_equal(plain[i].image, examples[i].image)
        assert plain[i].prompt == plain[i].caption or "two" in plain[i].caption or "three" in plain[i].caption


def test_seeds_and_splits_differ(cache):
    a, b = (World("test", seed=seed, identities=12, count=(1,), weights=(1.0,), cache=cache)[0] for seed in (0, 1))
    assert not np.array_equal(a.image, b.image)


def test_everything_outside_the_masks_is_scene_or_shadow(examples):
    for example in examples:
        assert (example.masks.sum(0) <= 1).all()
        for box, mask in zip(example.boxes, example.masks, strict=True):
            left, top, right, bottom = box
            assert mask[top:bottom, left:right].sum() == mask.sum() > 200


def test_subjects_are_of_the_split_and_references_show_them_in_another_state(examples):
    for example in examples:
        for subject in example.subjects:
            assert split_of(subject.identity) == "test"
            (picture,), (mask,) = subject.references, subject.reference_masks
            assert picture.shape == (128, 128, 3) and mask.mean() > 0.1
            rows = np.flatnonzero(mask.any(1))
            assert rows[-1] - rows[0] > (95 if subject.noun in ("person", "robot") else 40)


def test_reference_states_differ_from_the_shown_one(cache):
    world = World("train", references=3, identities=2, kinds=("person",), count=(1,), weights=(1.0,), empty=0.0, cache=cache)
    (subject,) = world[0].subjects
    numbers = [i for i in range(2) if identity("train", i, "person") == subject.identity]
    others = [state for state in looks("train", numbers[0], "person") if state != subject.state]
    assert len(others) == len(subject.references) == 3
    assert all(state.differs(subject.state) for state in others)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_shows_the_same_subject_in_another_state(kind, monkeypatch):
    """What is drawn for the picture and then for its references, on 40 examples: one identity, never the picture's state or one twice,
    and for nine in ten or more a difference in words (two mouths of a creature may have one word)."""
    drawn, blank = [], Image.new("RGBA", (24, 40), "red")
    monkeypatch.setattr("moa.data.world.dataset.sprite", lambda who, state, cache: drawn.append((who, state)) or blank)
    world = World("train", references=3, kinds=(kind,), count=(2,), weights=(1.0,), empty=0.0, length=40, size=32, cache=None)
    unlike = []
    for index in range(len(world)):
        drawn.clear()
        views = world[index].subjects
        shown, others = drawn[:2], drawn[2:]
        assert shown == [(view.identity, view.state) for view in views] and len(others) == 6
        for (who, state), references in zip(shown, (others[:3], others[3:]), strict=True):
            assert all(other.labels() == who.labels() and other == who for other, _ in references)
            assert len({state, *(look for _, look in references)}) == 4 and all(look.differs(state) for _, look in references)
            unlike += [look.labels(who) != state.labels(who) for _, look in references]
    assert len(unlike) == 240 and np.mean(unlike) > 0.9, np.mean(unlike)


def test_empty_scenes_and_scene_colors(cache):
    example = World("train", empty=1.0, length=3, cache=cache)[0]
    assert example.masks.shape == (0, 128, 128) and example.caption == example.prompt and not example.subjects
    means = {name: draw_scene(np.random.default_rng(0), name, 32).mean((0, 1)) for name in SCENES}
    names = list(means)
    apart = [np.abs(means[a] - means[b]).max() for i, a in enumerate(names) for b in names[:i]]
    assert min(apart) > 8


def test_render_reference_is_reproducible():
    picture = sprite(identity("test", 0, "robot"), looks("test", 0, "robot")[0])
    (a, mask_a), (b, mask_b) = (render_reference(np.random.default_rng(5), picture, 64) for _ in range(2))
    assert a.shape == (64, 64, 3) and np.array_equal(a, b) and np.array_equal(mask_a, mask_b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "allowed are train"),
        ({"placeholders": "few"}, "allowed are all"),
        ({"kinds": ("dog",)}, "allowed are person"),
        ({"count": (4,), "weights": (1.0,)}, "counts of 1 to 3"),
        ({"references": 4}, "0 to 3"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        World(**arguments)


def test_index_out_of_range(world):
    with pytest.raises(IndexError, match="0 to 23"):
        world[24]
