"""The pictures of the report: cards with references, what was drawn from them, and what the reader made of it."""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from moa.evaluation.identity import identity_labels
from moa.evaluation.reader import Sighting
from moa.evaluation.seen import Seen
from moa.evaluation.sheets import data_uri, overlay
from moa.evaluation.titles import name_of
from moa.pipelines.grid import grid

ASKED = ("shirt_color", "jacket_color", "expression")
SHORT = {
    "hair_style": "style", "hair_color": "hair", "hat_color": "hat colour", "shirt_color": "shirt", "jacket_color": "jacket", "body_color": "body",
    "accent_color": "legs", "eye_count": "eyes", "pot_color": "pot", "bloom_color": "bloom",
}  # fmt: skip


def tile(image: np.ndarray, caption: str, chips: str = "", *, small: bool = False) -> str:
    """One picture with a caption, and chips under it."""
    kind = ' class="small"' if small else ""
    return f'<figure{kind}><img src="{data_uri(image)}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>{chips}</figure>'


def chips(sighting: Sighting | None, labels: dict[str, str], *, asked: Sequence[str] = ASKED, kind: str = "person") -> str:
    """Attribute by attribute, whether it reads as it should; the tooltip says what was read."""
    wanted = identity_labels(labels, kind) | {name: labels[name] for name in asked if kind == "person" and name in labels}
    if sighting is None:
        return '<div class="chips"><span class="chip no">nobody found</span></div>'
    marks = []
    for name, word in wanted.items():
        right = sighting.words[name] == word
        said = f"{name_of(name)}: {word}" + ("" if right else f", reads {sighting.words[name]}")
        marks.append(
            f'<span class="chip {"yes" if right else "no"}" title="{escape(said)}">{escape(SHORT.get(name, name_of(name).lower()))}</span>'
        )
    return f'<div class="chips">{"".join(marks)}</div>'


def prompt(text: str) -> str:
    """A prompt with its placeholders set off."""
    return f'<p class="prompt">{escape(text).replace("&lt;", "<b>&lt;").replace("&gt;", "&gt;</b>")}</p>'


def single_cards(ours: Seen, prior: Seen | None, count: int) -> str:
    """Two people under one prompt and seed: what stays is the scene, what changes is who is in it."""
    cards = []
    for i in range(0, min(2 * count, len(ours) - 1), 2):
        tiles = [] if prior is None else [tile(prior.pictures[i].image, "the prior alone")]
        for j in (i, i + 1):
            picture, part = ours.pictures[j], ours.cases[j].parts[0]
            tiles.append(tile(np.asarray(part.reference()), "reference"))
            tiles.append(tile(picture.image, "drawn", chips(ours.matched[j][0], part.labels)))
            if picture.experts is not None and j == i:
                tiles.append(tile(overlay(picture.image, [picture.experts]), "where the expert drew"))
        cards.append(f'<div class="card">{prompt(ours.cases[i].prompt)}<div class="tiles">{"".join(tiles)}</div></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def pair_cards(ours: Seen, prior: Seen | None, count: int) -> str:
    """Two references, the prior's picture, ours, and both maps over it."""
    cards = []
    for i in range(min(count, len(ours))):
        case, picture = ours.cases[i], ours.pictures[i]
        tiles = [
            tile(np.asarray(part.reference()), f"<{name}>", chips(ours.matched[i][k], part.labels, asked=("shirt_color",)))
            for k, (name, part) in enumerate(zip(case.names, case.parts, strict=True))
        ]
        tiles += [] if prior is None else [tile(prior.pictures[i].image, "the prior alone")]
        tiles.append(tile(picture.image, "drawn"))
        if picture.maps:
            tiles.append(
                tile(overlay(picture.image, [picture.maps[name] for name in case.names if name in picture.maps]), "each subject's map")
            )
        cards.append(f'<div class="card">{prompt(case.prompt)}<div class="tiles">{"".join(tiles)}</div></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def worded_cards(seen: Seen, count: int) -> str:
    """Prompts in words alone, and what was drawn; of several people, what became of the first."""
    tiles = []
    for case, picture, row in list(zip(seen.cases, seen.pictures, seen.matched, strict=True))[:count]:
        alone = len(case.parts) == 1
        marks = chips(row[0], case.parts[0].labels, asked=ASKED if alone else ("shirt_color",), kind=case.kind)
        drawn = tile(picture.image, "drawn" if alone else "drawn; the first one", marks)
        tiles.append(f'<div class="card">{prompt(case.prompt)}<div class="tiles">{drawn}</div></div>')
    return f'<div class="cards" style="grid-template-columns:repeat(auto-fill,minmax(300px,1fr))">{"".join(tiles)}</div>'


def compared_cards(before: Seen, after: Seen, count: int) -> str:
    """Originals above their reconstructions."""
    pairs = zip(before.pictures[:count], after.pictures[:count], strict=True)
    tiles = [f"<div>{tile(a.image, 'render')}{tile(b.image, 'reconstruction')}</div>" for a, b in pairs]
    return f'<div class="cards"><div class="card"><div class="tiles">{"".join(tiles)}</div></div></div>'


def seed_cards(seen: Seen, seeds: int, count: int) -> str:
    """One subject and prompt, several seeds."""
    cards = []
    for start in range(0, min(seeds * count, len(seen)), seeds):
        tiles = [tile(np.asarray(seen.cases[start].parts[0].reference()), "reference")] if "<" in seen.cases[start].prompt else []
        tiles += [
            tile(p.image, f"seed {c.seed}")
            for p, c in zip(seen.pictures[start : start + seeds], seen.cases[start : start + seeds], strict=True)
        ]
        cards.append(f'<div class="card">{prompt(seen.cases[start].prompt)}<div class="tiles">{"".join(tiles)}</div></div>')
    return f'<div class="cards">{"".join(cards)}</div>'


def sheet_of(seen: Seen, prior: Seen | None, count: int):
    """A plain sheet to save: reference, prior, drawn, map."""
    rows, heads = [], []
    for i in range(min(count, len(seen))):
        picture = seen.pictures[i]
        maps = list(picture.maps.values()) or ([] if picture.experts is None else [picture.experts])
        references = [np.asarray(part.reference()) for part in seen.cases[i].parts] if "<" in seen.cases[i].prompt else []
        rows.append(
            [
                *references,
                *([] if prior is None else [prior.pictures[i].image]),
                picture.image,
                *([overlay(picture.image, maps)] if maps else []),
            ]
        )
        found = [*["reference"] * len(references), *["prior"] * (prior is not None), "drawn", *["where"] * bool(maps)]
        heads = max(heads, found, key=len)
    return grid([[Image.fromarray(tile) for tile in row] for row in rows], columns=heads, gap=6)
