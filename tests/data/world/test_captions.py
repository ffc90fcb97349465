"""Captions and prompts."""

import re

import numpy as np
import pytest

from moa.data.world import CLASSES, compose_prompt, describe_state, identity, labels, looks, scene_names
from moa.data.world import words as w
from moa.data.world.captions import MOST_WORDS, Layout, caption, caption_scene
from moa.data.world.scenes import SCENES


def cast(rng, count):
    chosen = []
    for _ in range(count):
        kind, index = tuple(CLASSES)[rng.integers(len(CLASSES))], int(rng.integers(50))
        who, state = identity("train", index, kind), looks("train", index, kind)[0]
        chosen.append((who, state, labels(who, state)))
    return chosen


def many(count=1, names=None, number=150):
    rng = np.random.default_rng(count)
    for _ in range(number):
        figures = cast(rng, count)
        yield figures, caption(rng, figures, Layout(tuple(range(count))), "snow", names or [None] * count)


@pytest.mark.parametrize("count", (1, 2, 3))
def test_captions_are_short_and_well_formed(count):
    for _, (text, prompt) in many(count):
        assert len(text.split()) <= MOST_WORDS + 13
        for words in (text, prompt):
            assert "  " not in words and "{" not in words and " ," not in words
            assert not re.search(r"\ba [aeiou](?!ne)", words), words


def test_only_visible_words_are_said():
    for ((who, _state, seen),), (text, _) in many(number=300):
        if who.noun != "person":
            continue
        hairs = [word for word in w.HAIR_COLORS if re.search(rf"\b{word} (hair|braids|bob|afro|mohawk)", text)]
        assert hairs in ([], [seen.get("hair_color")])
        assert all(seen["glasses"] == key for key, phrase in w.GLASSES.items() if phrase in text)
        assert ("beard" in text or "moustache" in text) <= (seen.get("beard") in ("full", "mustache"))
        assert all(seen["outfit"] == name for name in ("hoodie", "coat", "dress", "suit", "overalls") if name in text)


def test_hidden_labels_are_not_said():
    rng = np.random.default_rng(0)
    for _ in range(100):
        figures = [(who, state, {}) for who, state, _ in cast(rng, 1)]
        text, _ = caption(rng, figures, Layout((0,)), "snow", [None])
        assert " with " not in text and "wearing" not in text


def test_prompts_replace_identity_by_the_name_and_keep_the_state():
    for ((who, state, _),), (text, prompt) in many(names=["s1"], number=300):
        assert prompt.count("<s1>") == 1 and who.noun not in prompt
        for key, phrase in who.phrases().items():
            assert phrase not in prompt.replace("with happy eyes", ""), key
        said = (*state.clothes(who).values(), *state.acts(who).values())
        assert all((phrase.removeprefix("with ") in prompt) == (phrase.removeprefix("with ") in text) for phrase in said)


def test_some_prompts_name_some_figures_only():
    for figures, (_, prompt) in many(2, names=["s1", None], number=60):
        assert "<s1>" in prompt and "<s2>" not in prompt and "None" not in prompt
        assert len(figures) == 2


def test_about_one_caption_in_six_is_bare_and_counts_people():
    texts = [text for _, (text, _) in many(2, number=400)]
    bare = [t for t in texts if "with" not in t and "wearing" not in t]
    assert 0.08 < len(bare) / len(texts) < 0.4
    assert any(t.startswith(("two ", "in the snow, two ")) for t in texts)


def test_positions_are_true():
    rng = np.random.default_rng(3)
    for _ in range(100):
        figures = [(identity("train", i, kind), looks("train", i, kind)[0], {}) for i, kind in ((0, "person"), (1, "robot"))]
        text, _ = caption(rng, figures, Layout((1, 0), ((1, 0),)), "snow", [None, None])
        robot, one = text.find("robot"), text.find("person")
        if "left and" in text or "to the left of" in text:
            assert robot < one
        if "to the right of" in text:
            assert one < robot
        if "behind" in text:
            assert robot < one
        if "in front of" in text:
            assert one < robot


def test_scenes_have_words():
    rng = np.random.default_rng(0)
    assert len(scene_names()) >= 10
    for name in scene_names():
        text = caption_scene(rng, name)
        assert any(noun in text for noun in SCENES[name].nouns)


def test_prompts_from_parts():
    who, state = identity("test", 0, "person"), looks("test", 0, "person")[0]
    assert describe_state(state, who).startswith("wearing ")
    assert compose_prompt(["<s1>", "<s2>"], "snow") == "<s1> and <s2> in the snow"
    assert compose_prompt(["<s1> wearing a green hoodie, laughing"], "moon").endswith("laughing, on the moon")
    assert compose_prompt(["<s1>"]) == "<s1>"
    with pytest.raises(ValueError, match="allowed are desert"):
        compose_prompt(["<s1>"], "mars")


def test_ordered_captions_name_figures_from_left_to_right():
    rng, unsaid = np.random.default_rng(0), 0
    for _ in range(60):
        left_to_right = tuple(int(i) for i in rng.permutation(2))
        _, prompt = caption(rng, cast(rng, 2), Layout(left_to_right), "snow", ["s1", "s2"], ordered=True)
        if not re.search("left|right", prompt):
            unsaid += 1
            assert re.findall(r"<s(\d)>", prompt) == [str(i + 1) for i in left_to_right]
    assert unsaid > 20
