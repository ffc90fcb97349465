"""A CLIP tokenizer of one's own: byte-level BPE merges learned from captions, in the files that every CLIP pipeline opens."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str], *, vocabulary: int) -> CLIPTokenizer:
    """Learns at most `vocabulary` tokens ("Neural Machine Translation of Rare Words with Subword Units", section 3.2, arXiv 1508.07909).

    The result is, as CLIP's, 77 tokens long at most and pads with its end token.
    """
    learner = CLIPTokenizer(vocab={BOS: 0, EOS: 1}).backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, initial_alphabet=_letters(), end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    return CLIPTokenizer(vocab=_clip_order(learner.get_vocab()), merges=_merges(learner), model_max_length=77)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes the tokenizer, also as the `vocab.json` and `merges.txt` that transformers before 5 reads."""
    tokenizer.save_pretrained(folder)
    order = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    (folder / "vocab.json").write_text(json.dumps(dict(order), ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in _merges(tokenizer.backend_tokenizer))]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _letters() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _merges(learner: Tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


def _clip_order(vocabulary: dict[str, int]) -> dict[str, int]:
    """CLIP's order: single bytes, the same at a word's end, merges, start, end."""
    singles = [*_letters(), *(letter + "</w>" for letter in _letters())]
    rest = sorted((token for token in vocabulary if token not in {*singles, BOS, EOS}), key=vocabulary.__getitem__)
    return {token: number for number, token in enumerate([*singles, *rest, BOS, EOS])}
