"""One table out of several evaluations: what each part of the method is good for."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

COLUMNS = (  # title, group, row
    ("identity", "identity", "likeness"),
    ("hair colour", "identity", "hair_color"),
    ("skin", "identity", "skin"),
    ("scene", "prompt", "scene"),
    ("outfit", "prompt", "outfit"),
    ("expression", "prompt", "expression"),
    ("drift from prior", "context", "drift_from_prior"),
    ("drift between subjects", "context", "drift_between_subjects"),
    ("both in their own person", "two people", "both_own"),
    ("duplicates", "two people", "duplicates"),
    ("own map", "routing", "own_map"),
    ("map overlap", "routing", "overlap"),
)
READING = "## Reading the table"  # what people wrote under this heading stays


def read_metrics(path: str | Path) -> dict[str, object]:
    """A `metrics.json`, or the one in a folder.

    Errors: ValueError for a file that is none, or of something other than an adapter.
    """
    path = Path(path)
    file = path / "metrics.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(path)!r} holds no metrics ({error}); give a folder that `python evaluate.py` wrote.") from None
    if not isinstance(found, dict) or found.get("what") != "adapter" or "rows" not in found:
        raise ValueError(f"{str(file)!r} measures no adapter; the table of ablations takes metrics of what=adapter only.")
    return found


def ablation_table(runs: Mapping[str, Mapping[str, object]]) -> str:
    """A Markdown table, one line a run, in the order given; half the width of its interval after each value.

    Below them two lines to read them by: the prior alone, on the same prompts, and the ceiling, which is read off pictures of the world itself.
    """
    lines = ["| run | " + " | ".join(title for title, *_ in COLUMNS) + " |", "|---|" + "--:|" * len(COLUMNS)]
    for name, metrics in runs.items():
        rows = {(row["group"], row["name"]): row for row in metrics["rows"]}
        lines.append(f"| {name} | " + " | ".join(_cell(rows.get((group, row))) for _, group, row in COLUMNS) + " |")
    first = {(row["group"], row["name"]): row for row in next(iter(runs.values()))["rows"]}
    for title, beside in (("*the prior alone*", "prior"), ("*ceiling*", "ceiling")):
        lines.append(f"| {title} | " + " | ".join(_cell(first.get((group, row)), beside) for _, group, row in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def claim(method: Mapping[str, object], single_branch: Mapping[str, object]) -> str:
    """In one sentence, how the method compares with the finetune of a single branch: identity in points, drift as a ratio."""
    (ours, other), (drift, drift_other) = (
        [_value(metrics, group, name) for metrics in (method, single_branch)]
        for group, name in (("identity", "likeness"), ("context", "drift_from_prior"))
    )
    return (
        f"{method['title']}: identity {100 * ours:.1f} % against {100 * other:.1f} % ({100 * (ours - other):+.1f} points), "
        f"context drift {drift:.2f} against {drift_other:.2f} % of the pixel range ({drift / max(drift_other, 1e-9):.2f} of it)."
    )


def write_ablations(folders: Sequence[str | Path], out: str | Path, *, command: str) -> str:
    """Writes the table of several evaluations, every run's command, and where a run is called single_branch, the claim of the first and of
    those that keep the context.

    What stands from the heading `READING` on in a file that is there already stays. Errors: ValueError for two runs of one name, and as
    `read_metrics`.
    """
    measured = list(map(read_metrics, folders))
    titles = [str(metrics["title"]) for metrics in measured]
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        raise ValueError(
            f"Two of the runs are called {twice!r}, and the table has a row a name; evaluate one of them again with another name=."
        )
    runs = dict(zip(titles, measured, strict=True))
    first, single = next(iter(runs.values())), runs.get("single_branch")
    text = [
        "# Ablations\n",
        "Shares in per cent, drift in per cent of the pixel range; ± half of the 95 % interval.\n",
        ablation_table(runs),
    ]
    if single is not None and single is not first:
        methods = [first, *(run for run in runs.values() if run is not first and run["settings"].get("keep_context"))]
        text.append("\n".join(claim(method, single) for method in methods) + "\n")
    commands = [str(metrics["settings"].get("command", "")) for metrics in runs.values()]
    text.append("Made by\n\n```\n" + "\n".join([*dict.fromkeys(filter(None, commands)), command]) + "\n```\n")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _, heading, read = out.read_text(encoding="utf-8").partition(READING) if out.exists() else ("", "", "")
    text.append(heading + read)
    out.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    return out.read_text(encoding="utf-8")


def _cell(row: Mapping[str, object] | None, which: str = "value") -> str:
    if row is None or row.get(which) is None or row[which]["value"] is None:
        return "–"
    found, factor = row[which], 100 if row["unit"] == "share" else 1
    half = factor * (found["high"] - found["low"]) / 2
    return f"{factor * found['value']:.1f} ± {half:.1f}" if factor == 100 else f"{found['value']:.2f} ± {half:.2f}"


def _value(metrics: Mapping[str, object], group: str, name: str) -> float:
    for row in metrics["rows"]:
        if (row["group"], row["name"]) == (group, name):
            return float(row["value"]["value"])
    raise ValueError(f"The metrics {metrics['title']!r} have no row {group} / {name}; evaluate the adapter again.")
