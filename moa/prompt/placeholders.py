"""Placeholders: `<name>` in a prompt stands for one subject, and reads as its class noun to the prior."""

import re
from collections.abc import Callable
from dataclasses import dataclass

PLACEHOLDER = re.compile(r"<(\w[\w\- ]*)>")
DETERMINERS = frozenset(
    ["a", "an", "the", "my", "your", "his", "her", "its", "our", "their", "this", "that", "one", "another", "some", "every", "each"]
)


@dataclass(frozen=True, slots=True)
class Mention:
    """One placeholder of a prompt: the subject's `name`, its `noun`, and `end`, the character after the noun in the plain text."""

    name: str
    noun: str
    end: int


@dataclass(frozen=True, slots=True)
class PlainPrompt:
    """A prompt as the prior reads it, and where its subjects are."""

    text: str
    mentions: tuple[Mention, ...]


def names_in(prompt: str, known_tokens: frozenset[str] = frozenset()) -> list[str]:
    """Names of the placeholders in order of appearance, without those the tokenizer knows (textual inversion)."""
    return [m[1] for m in PLACEHOLDER.finditer(prompt) if m[0] not in known_tokens]


def with_article(noun: str, before: str) -> str:
    """`noun` with "a" or "an" unless the text before it ends in a determiner, or the noun brings its own (our choice)."""
    words = re.findall(r"[a-z']+", before.lower())
    first = noun.lower().split(" ", 1)[0]
    if first in DETERMINERS or (words and words[-1] in DETERMINERS and before.rstrip()[-1:].isalpha()):
        return noun
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def fill(prompt: str, nouns: dict[str, str], known_tokens: frozenset[str] = frozenset()) -> PlainPrompt:
    """The prompt with every `<name>` replaced by its noun ("<alice> and <bob>" reads "a person and a dog").

    Errors: ValueError that quotes the prompt for a placeholder without a subject and for a subject without a placeholder.
    """
    asked = names_in(prompt, known_tokens)
    for name in asked:
        if name not in nouns:
            known = ", ".join(f"<{n}>" for n in nouns) or "none"
            raise ValueError(
                f"The prompt {prompt!r} names <{name}>, but the subjects given are: {known}. "
                f"Pass a picture for it (subjects={{{name!r}: image}}) or take it out of the prompt."
            )
    for name in nouns:
        if name not in asked:
            raise ValueError(
                f"The subject {name!r} does not occur in the prompt {prompt!r}. Write <{name}> where it belongs, or leave its picture out."
            )
    text, mentions, start = "", [], 0
    for match in PLACEHOLDER.finditer(prompt):
        text += prompt[start : match.start()]
        start = match.end()
        if match[0] in known_tokens:
            text += match[0]
            continue
        text += with_article(nouns[match[1]], text)
        mentions.append(Mention(match[1], nouns[match[1]], len(text)))
    return PlainPrompt(text + prompt[start:], tuple(mentions))


def locate(plain: PlainPrompt, tokenizer, expand: Callable[[str], str] = str) -> list[int]:
    """Token position of each mention: the last token of its noun, counting the start token as 0.

    `expand` is what the text encoder's side does to a prompt before it reads it: diffusers writes a textual inversion of several
    vectors out as several tokens. Errors: ValueError for a noun that flows into the text after it, and for one past the tokenizer's limit.
    """

    def ids(text: str) -> list[int]:
        return tokenizer(expand(text), add_special_tokens=False, verbose=False)["input_ids"]

    whole, limit, positions = ids(plain.text), tokenizer.model_max_length - 2, []
    for mention in plain.mentions:
        head = ids(plain.text[: mention.end])
        if whole[: len(head)] != head:
            raise ValueError(
                f"<{mention.name}> runs into the text after it in {plain.text!r}; put a space or a comma after the placeholder."
            )
        if len(head) > limit:
            raise ValueError(
                f"<{mention.name}> is token {len(head)} of the prompt, and the text encoder reads {limit}; "
                f"shorten the prompt or name the subject earlier: {plain.text!r}"
            )
        positions.append(len(head))
    return positions
