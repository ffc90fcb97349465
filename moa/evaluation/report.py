"""What an evaluation leaves behind: `metrics.json`, one self-contained `report.html`, and sheets."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from moa.evaluation import gallery, plots
from moa.evaluation.measure import Measurement
from moa.evaluation.pairs import SEEN
from moa.evaluation.rows import Row
from moa.evaluation.statistics import Estimate
from moa.evaluation.style import CSS
from moa.evaluation.titles import GROUPS, HEADS, name_of

LEADS = {
    "adapter": "People that training never saw, each from one reference picture, read back from what was drawn.",
    "prior": "What the prior draws when words alone describe people whose combination of attributes it never saw.",
    "autoencoder": "Renders of held-out people, read before and after the autoencoder.",
    "reader": "The attribute reader on real renders of held-out people: the ceiling of everything it measures.",
}
WIDTHS = (236, 268, 66, 118, 72, 62, 64, 64, 52)  # of a table's columns in pixels
COLUMNS = "<colgroup>" + "".join(f"<col style='width:{width}px'>" for width in WIDTHS) + "</colgroup>"
LEGEND = (
    (
        '<circle class="value" cx="11" cy="7" r="4.6"/><line class="whisker" x1="1" x2="21" y1="7" y2="7"/>',
        "measured, with its 95 % interval",
    ),
    ('<circle class="prior" cx="11" cy="7" r="4.6"/>', "the prior alone"),
    ('<circle class="ceiling" cx="11" cy="7" r="4.6"/>', "ceiling: real renders, read"),
    ('<line class="majority" x1="11" x2="11" y1="1" y2="13"/>', "majority: the commonest word"),
    ('<path class="aim" d="M11 11 l-4.5 -6 h9 z"/>', "aim"),
)


def write_report(
    out: Path, what: str, title: str, measured: Measurement, facts: Mapping[str, object], *, examples: int = 6, seeds: int = 1
) -> None:
    """Writes `metrics.json`, `report.html` and the sheets into the folder `out`. `facts` are the settings and the command."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(as_json(what, title, measured, facts), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    pictures = _pictures(what, measured, examples, seeds)
    (out / "report.html").write_text(page(what, title, measured, facts, pictures), encoding="utf-8")
    for name in ("singles", "pairs"):
        if name in measured.shown and examples:
            gallery.sheet_of(measured.shown[name], measured.shown.get(f"{name}_prior"), 2 * examples).save(out / f"{name}.png")


def as_json(what: str, title: str, measured: Measurement, facts: Mapping[str, object]) -> dict[str, object]:
    """All numbers as plain values."""
    table = None if measured.confusion is None else {"columns": list(SEEN), "rows": measured.confusion.round(4).tolist()}
    return {
        "what": what,
        "title": title,
        "settings": dict(facts),
        "rows": [row.as_json() for row in measured.rows],
        "pairs_confusion": table,
        "same_different_auc": {name: round(value, 4) for name, value in measured.separation.items()},
    }


def page(what: str, title: str, measured: Measurement, facts: Mapping[str, object], pictures: Mapping[str, str]) -> str:
    """The whole report as one HTML document."""
    groups = dict.fromkeys(row.group for row in measured.rows)
    sections = [_section(group, [row for row in measured.rows if row.group == group], pictures.get(group, "")) for group in groups]
    if measured.confusion is not None:
        sections.insert(1 + list(groups).index("two people"), _confusion(measured))
    sections += [f"<h2>{escape(name)}</h2><p></p>{html}" for name, html in pictures.items() if name not in groups]
    facts_list = "".join(f"<dt>{escape(str(key))}</dt><dd><code>{escape(str(value))}</code></dd>" for key, value in facts.items())
    legend = "".join(f"<span><svg viewBox='0 0 22 14' aria-hidden='true'>{mark}</svg>{escape(text)}</span>" for mark, text in LEGEND)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · moa</title><style>{CSS}</style></head><body><main>
<p class="over">moa evaluation · {escape(what)}</p><h1>{escape(title)}</h1><p class="lead">{escape(LEADS[what])}</p>
<div class="heads">{"".join(_head(row) for row in _chosen(what, measured.rows))}</div>
<div class="legend">{legend}</div>
{"".join(sections)}
<h2>How it was made</h2><p>Everything follows from these settings; the same command gives the same numbers.</p><dl>{facts_list}</dl>
<footer>{escape(_small_print(measured))}</footer></main></body></html>
"""


def _chosen(what: str, rows: list[Row]) -> list[Row]:
    first = {row.name: row for row in reversed(rows)}
    return [first[name] for name in HEADS[what] if name in first]


def _head(row: Row) -> str:
    unit = {"share": "%", "range": "% of range", "decibel": "dB"}[row.unit]
    return (
        f'<div class="head"><div class="name">{escape(GROUPS[row.group][0])} · {escape(name_of(row.name))}</div>'
        f'<div class="big">{plots.number(row.value.value, row.unit)}<small>{unit}</small></div><div class="range">{plots.interval(row.value, row.unit)}</div></div>'
    )


def _section(group: str, rows: list[Row], after: str) -> str:
    name, about = GROUPS[group]
    most = plots.most_of(rows)
    return (
        f'<h2>{escape(name)}</h2><p>{escape(about)}</p><div class="wide"><table class="rows">{COLUMNS}<thead><tr><th></th><th></th><th>value</th><th>95 % interval</th>'
        f"<th>majority</th><th>prior</th><th>ceiling</th><th>aim</th><th>n</th></tr></thead><tbody>{''.join(_row(row, most) for row in rows)}</tbody></table></div>{after}"
    )


def _row(row: Row, most: float) -> str:
    beside = [
        plots.number(row.majority, row.unit),
        *(plots.number(None if e is None else e.value, row.unit) for e in (row.prior, row.ceiling)),
    ]
    met = ""
    if row.aim is not None and row.value.count:
        met = "met" if (row.value.value <= row.aim if row.less_is_better else row.value.value >= row.aim) else "unmet"
    aim = "" if row.aim is None else f"{'≤' if row.less_is_better else '≥'} {100 * row.aim:.0f}"
    quiet = "".join(f'<td class="quiet">{text}</td>' for text in (plots.interval(row.value, row.unit), *beside))
    return (
        f'<tr><td>{escape(name_of(row.name))}</td><td class="plot">{plots.line(row, most)}</td><td class="value {met}">{plots.number(row.value.value, row.unit)}</td>{quiet}'
        f'<td class="quiet {met}">{aim}</td><td class="quiet">{_units(row.value)}</td></tr>'
    )


def _units(found: Estimate) -> str:
    return str(found.count) + (f"<br><small>in {found.clusters}</small>" if found.clusters < found.count else "")


def _confusion(measured: Measurement) -> str:
    rows = ("in the first one's clothes", "in the second one's clothes")
    drawn = plots.matrix(measured.confusion, rows, ("looks like the first", "like the second", "like neither", "nobody there"))
    return f"<h2>Who is in whose clothes</h2><p>Per cent of the pictures. A swap is the other diagonal, a duplicate one full column.</p>{drawn}"


def _pictures(what: str, measured: Measurement, examples: int, seeds: int) -> dict[str, str]:
    """The cards by the group that they follow, or by a title of their own."""
    shown = measured.shown
    if what == "autoencoder":
        return {"Pictures": gallery.compared_cards(shown["originals"], shown["reconstructions"], 2 * examples)}
    if what == "prior":
        out = {"prompt": gallery.worded_cards(shown["singles"], 2 * examples), "two people": gallery.worded_cards(shown["pairs"], examples)}
        out |= {
            "three people": gallery.worded_cards(shown["threes"], examples),
            "other kinds": gallery.worded_cards(shown["others"], examples),
        }
        return out | {"diversity": gallery.seed_cards(shown["seeds"], seeds, 3)}
    out = {"identity": gallery.single_cards(shown["singles"], shown.get("singles_prior"), examples)}
    out["two people"] = gallery.pair_cards(shown["pairs"], shown.get("pairs_prior"), examples)
    return out | ({"diversity": gallery.seed_cards(shown["seeds"], seeds, 3)} if "seeds" in shown else {})


def _small_print(measured: Measurement) -> str:
    text = "Intervals are percentile bootstraps over people or pictures; those that share their noise are drawn together, as one. n is the number of people or pictures a number is of, and under it in how many such draws they are, where fewer. Balanced accuracy averages over the words that occur."
    if measured.separation:
        text += (
            " Areas under the curve of same against different people: "
            + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in measured.separation.items())
            + "."
        )
    return text
