"""Placeholders: what the prior reads, and which token a subject takes."""

import pytest

from moa.prompt.placeholders import fill, locate, names_in, with_article
from moa.training.tokenizer import train_tokenizer

from families import WORDS


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS)] * 4, vocabulary=600)


def test_two_subjects():
    plain = fill("<alice> and <bob> in the snow", {"alice": "person", "bob": "dog"})
    assert plain.text == "a person and a dog in the snow"
    assert [(m.name, plain.text[: m.end]) for m in plain.mentions] == [("alice", "a person"), ("bob", "a person and a dog")]


def test_a_subject_may_come_twice():
    plain = fill("<a> left of <a>", {"a": "dog"})
    assert plain.text == "a dog left of a dog"
    assert len(plain.mentions) == 2


@pytest.mark.parametrize(
    ("before", "noun", "text"),
    [
        ("the ", "dog", "dog"),
        ("and ", "dog", "a dog"),
        ("", "owl", "an owl"),
        ("my", "cat", "cat"),
        ("", "the old man", "the old man"),
        ("a photo of ", "dog", "a dog"),
    ],
)
def test_articles(before, noun, text):
    assert with_article(noun, before) == text


def test_tokens_the_tokenizer_knows_are_left_alone():
    known = frozenset({"<cat-toy>"})
    plain = fill("<alice> with a <cat-toy>", {"alice": "person"}, known)
    assert plain.text == "a person with a <cat-toy>"
    assert names_in("<cat-toy>", known) == []


def test_unknown_and_unused_names_quote_the_prompt():
    with pytest.raises(ValueError, match=r"'<bob> in the snow' names <bob>.*<alice>.*subjects=\{'bob'"):
        fill("<bob> in the snow", {"alice": "person"})
    with pytest.raises(ValueError, match=r"'bob' does not occur in the prompt '<alice>'"):
        fill("<alice>", {"alice": "person", "bob": "dog"})


def test_positions_are_those_of_the_nouns_last_token(tokenizer):
    plain = fill("<alice> and the <bob>, at night", {"alice": "person", "bob": "red dog"})
    ids = tokenizer(plain.text)["input_ids"]
    tokens = [tokenizer.decode([ids[position]]).strip() for position in locate(plain, tokenizer)]
    assert tokens == ["person", "dog"]


def test_a_noun_of_several_pieces(tokenizer):
    plain = fill("<x> at night", {"x": "zebra"})
    position = locate(plain, tokenizer)[0]
    ids = tokenizer(plain.text)["input_ids"]
    assert tokenizer.decode(ids[1 : position + 1]).replace(" ", "") == "azebra"


def test_a_noun_that_flows_on_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="put a space or a comma"):
        locate(fill("<x>s at night", {"x": "dog"}), tokenizer)


def test_a_placeholder_past_the_token_limit_is_an_error(tokenizer):
    with pytest.raises(ValueError, match=r"<x> is token \d+ .* reads 75"):
        locate(fill("the snow " * 50 + "<x>", {"x": "dog"}), tokenizer)
