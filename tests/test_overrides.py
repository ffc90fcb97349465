"""What a user types, in Hydra's grammar: read back by Hydra's own parser and OmegaConf."""

import random

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from moa.infer import GROUPS, LISTS, SETTINGS, TEXT
from moa.overrides import quote, rewrite

FILES = {"prior": ("sd15", "tiny")}


def rewritten(*words: str) -> list[str]:
    return rewrite(list(words), text=TEXT, groups=GROUPS, lists=LISTS, files=FILES, known=SETTINGS)


def read(word: str):
    """The value that Hydra and OmegaConf make of an override."""
    return OmegaConf.to_container(OmegaConf.create({"x": OverridesParser.create().parse_override(word).value()}), resolve=True)["x"]


PROMPTS = [
    "<alice> and <bob> in the snow, at night",
    "a plain dog",
    "1 = 1, {curly} [square] (round), <x>: 50% & more!",
    "it's \"quoted\" twice",
    "'starts and ends' with 'quotes'",
    '"hello", says <alice>, "hi"',
    "back\\slash \\\" and \\' and end\\",
    "costs $5, ${5} or \\${6} or $${7}",
    "zoë in São Paulo, 東京で, 🎄",
    "two\nlines\tand a tab",
    "  spaces around  ",
    "true",
    "12",
    "1e3",
    "[cinematic] portrait of <alice> [8k]",
    "{a: 1}",
    "choice(a,b)",
    "-dashes --first",
    "~tilde +plus",
    "null,null",
    "",
]  # fmt: skip


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("key", ["prompt", "negative_prompt", "nouns.bob"])
def test_free_text_arrives_as_typed(key, prompt):
    assert read(rewritten(f"{key}={prompt}")[0]) == prompt


def test_random_text_arrives_as_typed():
    rng, letters = (
        random.Random(0),
        ["a", "é", " ", '"', "'", "\\", "$", "${", "}", "(", ")", "[", "]", ",", "=", ":", "<", ">", "\n", "\\\\", '\\"'],
    )
    for _ in range(300):
        text = "".join(rng.choices(letters, k=rng.randint(0, 8)))
        assert read("prompt=" + quote(text)) == text


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("subjects.alice=img(1).png", "img(1).png"),
        ("subjects.alice=C:\\my pictures\\a,b.png", "C:\\my pictures\\a,b.png"),
        ("subjects.alice=[1].png", "[1].png"),
        ("subjects.alice=a=b.png", "a=b.png"),
        ("subjects.alice=", ""),
        ("subjects.alice=None", "None"),
        ("subjects.bob=[a.png,b.png]", ["a.png", "b.png"]),
        ("subjects.bob=[ a (1).png , b{2}.png ]", ["a (1).png", "b{2}.png"]),
        ("subjects.bob=[\"a,b.png\",'c.png', d.png]", ["a,b.png", "c.png", "d.png"]),
        ("subjects.bob=[a.png,]", ["a.png"]),
        ("subjects.bob=[]", []),
        ("subjects.bob=[[1].png,b.png]", ["[1].png", "b.png"]),
        ("subjects.bob=[it's.png,b.png]", ["it's.png", "b.png"]),
        ("routing.bob=[0,10,64.5,128]", [0, 10, 64.5, 128]),
        ("routing.bob=mask (1).png", "mask (1).png"),
        ("routing.bob=[-1,+2,3e1,nan]", [-1, 2, 30.0, "nan"]),
        ("adapters.people=my runs/people (2)", "my runs/people (2)"),
        ("adapters.people=null", None),
        ("out=runs/a, b", "runs/a, b"),
        ("scales.alice=0.5", 0.5),
    ],
)
def test_paths_lists_and_numbers_arrive_as_typed(typed, value):
    assert read(rewritten(typed)[0]) == value


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("subjects.alice=a.png", '++subjects.alice="a.png"'),  # a new key needs ++
        ('subjects.alice="img(1).png"', '++subjects.alice="img(1).png"'),  # quoted for Hydra already
        ("prompt='a, b'", "prompt='a, b'"),
        ('prompt="say \\"hi\\""', 'prompt="say \\"hi\\""'),
        ("prompt=null", "prompt=null"),
        ("steps=30", "steps=30"),
        ("window=[0,0.8]", "window=[0,0.8]"),
        ("height=null", "height=null"),
        ("subjects={alice:a.png}", "subjects={alice:a.png}"),
        ("prior=tiny", "prior=tiny"),  # a choice of conf/prior
        ("prior=models/tiny", 'prior.path="models/tiny"'),
        ("prior=my model (2)", 'prior.path="my model (2)"'),
        ("prior.path=a b", 'prior.path="a b"'),
        ("prior.dtype=float16", "prior.dtype=float16"),
    ],
)
def test_words_become(typed, word):
    assert rewritten(typed) == [word]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--cfg", "job", "steps=3"],
        ["-c", "job", "-p", "showcase"],
        ["--config-dir", "my conf", "--config-name", "other"],
        ["--config-dir=my conf"],
        ["-m", "steps=10,20", "seed=range(0,5)"],
        ["+subjects.alice=a.png"],
        ["++prompt=x"],
        ["~adapters.people"],
        ["~adapters.people=models/tiny-people"],
        ["hydra.job.chdir=true"],
        [],
    ],
)
def test_hydras_own_words_stay(words):
    assert rewritten(*words) == words


def test_a_sweep_over_prompts_is_a_list_of_quoted_texts_and_a_comma_alone_is_none():
    assert rewritten("-m", 'prompt="a, b","c"') == ["-m", 'prompt="a, b","c"']
    assert rewritten("-m", "prompt=a, b") == ["-m", 'prompt="a, b"']
    assert rewritten("-m", "prior=tiny,sd15") == ["-m", "prior=tiny,sd15"]


def test_twice_is_once():
    words = ["prompt=<a> (1), b", "subjects.a=[x.png,y(1).png]", "prior=a b", "steps=3"]
    once = rewritten(*words)
    assert rewritten(*once) == once


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("promt=x", ["'promt'", "did you mean prompt="]),
        ("zzz=1", ["'zzz'", "all of them", "prompt"]),
        ("in", ["'in'", "name=value", "quotes"]),
        ("<alice> in the snow", ["<alice> in the snow", "name=value"]),
        ("", ["''", "name=value"]),
        ("subjects.zoë=a.png", ["'zoë'", "letters a-z", "subjects.alice="]),
        ("subjects.my dog=a.png", ["'my dog'", "letters a-z"]),
        ("subjects.=a.png", ["''", "letters a-z"]),
        ("subjects.a.b=a.png", ["'a.b'", "letters a-z"]),
    ],
)
def test_errors_name_the_word_and_the_fix(typed, parts):
    with pytest.raises(ValueError) as error:
        rewritten(typed)
    assert all(part in str(error.value) for part in parts), str(error.value)
