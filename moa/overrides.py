"""Free text and paths on the command line, as typed, into what Hydra's grammar takes. Pure: a list of words to another."""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

NAME = re.compile(r"[A-Za-z_][\w\-]*|0|[1-9]\d*", re.ASCII)
QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
ONE_QUOTED = re.compile(QUOTED, re.DOTALL)
MANY_QUOTED = re.compile(rf"{QUOTED}(\s*,\s*{QUOTED})+", re.DOTALL)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
TAKES_A_WORD = frozenset(
    ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn")
    + ("--config-dir", "-cd", "--info", "-i", "--experimental-rerun")
)
SWEEPING = frozenset(("-m", "--multirun"))


def rewrite(
    words: list[str],
    *,
    text: Collection[str],
    groups: Collection[str],
    lists: Collection[str],
    files: Mapping[str, Collection[str]],
    known: Collection[str] = (),
    inner: Collection[str] = (),
) -> list[str]:
    """The words after the program's name, with every value that is `text` quoted and every key of `groups` allowed to be new.

    `text` are patterns of keys ("prompt", "subjects.*"), `lists` those whose values may also be [a.png,b.png]; `groups`
    are settings whose keys the user invents, as in subjects.alice=a.png. `files` are the choices of a group of files;
    any other value is a path: prior=tiny stays, prior=my/model becomes prior.path="my/model". `known`, if given, are the
    settings there are, `inner` some within them (train.steps) that a user may ask for by their last word. Hydra's own options, +x, ~x, and values that are quoted already stay as they are.
    Errors: ValueError for a word that is neither an option nor name=value, an unknown setting, a name with other letters
    than a-z.
    """
    out, sweep = [], any(word in SWEEPING for word in words)
    for before, word in zip([""] + words, words, strict=False):
        if word.startswith("-") or before in TAKES_A_WORD or word[:1] in ("+", "~"):
            out.append(word)
            continue
        key, equals, value = word.partition("=")
        _check(word, key, bool(equals), groups, known, inner)
        if key in files and not set(value.split(",") if sweep else [value]) <= set(files[key]):
            key = f"{key}.path"
        if _fits(key, text):
            value = _value(value, _fits(key, lists), sweep)
        out.append(f"{'++' if '.' in key and key.partition('.')[0] in groups else ''}{key}={value}")
    return out


def _fits(key: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _check(word: str, key: str, equals: bool, groups: Collection[str], known: Collection[str], inner: Collection[str]) -> None:
    if not equals:
        raise ValueError(
            f'{word!r} is no setting; write name=value, with quotes around all of it where it holds spaces: "prompt=<alice> in the snow".'
        )
    group, dot, name = key.partition(".")
    if dot and group in groups and not NAME.fullmatch(name):
        raise ValueError(
            f"The name {name!r} in {word!r} cannot stand on the command line; use letters a-z, digits, - and _, as in {group}.alice=..."
        )
    if known and group.partition("@")[0].partition("/")[0] not in known:
        meant = {name.rpartition(".")[2]: name for name in (*inner, *known)}
        near = [meant[found] for found in get_close_matches(group, meant, n=1)]
        raise ValueError(
            f"There is no setting {group!r} (in {word!r}); {f'did you mean {near[0]}=? All' if near else 'all'} of them: {', '.join(known)}."
        )


def _value(value: str, lists: bool, sweep: bool) -> str:
    if value == "null" or ONE_QUOTED.fullmatch(value) or sweep and MANY_QUOTED.fullmatch(value):
        return value
    if lists and value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_item(item) for item in _split(value[1:-1]))}]"
    return quote(value)


def _item(item: str) -> str:
    return item if ONE_QUOTED.fullmatch(item) or NUMBER.fullmatch(item) else quote(item)


def _split(inside: str) -> list[str]:
    """The items of a list: split at commas outside of quotes, blanks around them dropped."""
    items = (found[0].strip() for found in re.finditer(rf"\s*{QUOTED}\s*(?=,|\Z)|[^,]+", inside, flags=re.DOTALL))
    return [item for item in items if item]


def quote(text: str) -> str:
    """Any text as a quoted value that Hydra and OmegaConf read back as that text."""
    text = re.sub(r"(\\*)\$\{", lambda found: f"{found[1]}{found[1]}\\${{", text)  # no interpolation
    return '"' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text) + '"'
