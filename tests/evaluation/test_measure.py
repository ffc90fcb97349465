"""Whole evaluations with painters whose faults are known, and what they write."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from moa.evaluation.ablations import ablation_table, claim, read_metrics, write_ablations
from moa.evaluation.measure import measure_adapter, measure_autoencoder, measure_prior, measure_reader
from moa.evaluation.protocol import Part, single_cases
from moa.evaluation.report import write_report

from knowing import BOXES, reading, sighting, truth

ROOT = Path(__file__).parents[2]
FEW = dict(people=12, pairs=6, diverse=2, seeds=2)


def stranger(case):
    """The right prompt with the wrong people in it."""
    others = [Part(part.number + 40, part.state) for part in case.parts]
    return truth(replace(case, parts=tuple(others)))


def swapped(case):
    if len(case.parts) == 1:
        return truth(case)
    first, second = case.parts
    return reading(case.scene, sighting(second, BOXES[2][0], clothes=first), sighting(first, BOXES[2][1], clothes=second))


def doubled(case):
    first = case.parts[0]
    return reading(case.scene, *(sighting(first, box, clothes=part) for part, box in zip((first, case.parts[-1]), BOXES[2], strict=True)))


def empty(case):
    return reading("sea")


def numbers(measured):
    return {(row.group, row.name): row for row in measured.rows}


def values(measured):
    return {key: row.value.value for key, row in numbers(measured).items() if row.unit == "share"}


@pytest.fixture(scope="module")
def oracle(knowing):
    return measure_adapter(knowing, knowing.painter(truth), knowing.painter(stranger), **FEW)


def test_a_perfect_painter_scores_the_ceiling(oracle):
    for (group, name), row in numbers(oracle).items():
        if group in ("identity", "prompt", "two people") and name != "nearest_histogram":
            wanted = 0 if row.less_is_better else 1
            assert row.value.value == row.ceiling.value == wanted, (group, name)
    assert np.allclose(oracle.confusion, [[1, 0, 0, 0], [0, 1, 0, 0]])
    assert oracle.separation["ours_embedding"] == 1


def test_context_and_routing_of_a_perfect_painter(oracle):
    found = numbers(oracle)
    assert found["context", "drift_from_prior"].value.value < 0.01 and found["context", "drift_between_subjects"].value.value < 0.01
    assert found["routing", "inside"].value.value == 1 and found["routing", "outside"].value.value == 0
    assert found["routing", "overlap"].value.value == 1 and found["routing", "own_map"].value.value == 1


def test_strangers_keep_the_prompt_and_lose_the_identity(oracle, knowing):
    beside = {key: row.prior.value for key, row in numbers(oracle).items() if row.prior is not None}
    assert beside["prompt", "scene"] == beside["prompt", "shirt_color"] == 1
    assert beside["identity", "likeness"] < 0.8 and beside["identity", "nearest_embedding"] == 0
    assert beside["two people", "both_own"] < 1


def test_swaps_doubles_and_empty_pictures_are_called_so(knowing):
    found = values(measure_adapter(knowing, knowing.painter(swapped), knowing.painter(truth), **FEW))
    assert found["two people", "swapped"] == 1 and found["two people", "both_own"] == 0 and found["identity", "likeness"] == 1
    found = values(measure_adapter(knowing, knowing.painter(doubled), knowing.painter(truth), **FEW))
    assert found["two people", "duplicates"] == 1 and found["prompt", "number"] == 0 and found["two people", "missing"] == 0
    found = values(measure_adapter(knowing, knowing.painter(empty), knowing.painter(truth), **FEW))
    assert found["two people", "missing"] == 1 and found["identity", "likeness"] == 0 and found["prompt", "shirt_color"] == 0
    assert found["prompt", "scene"] <= 0.5


def test_pictures_of_one_noise_count_as_one_draw(oracle):
    drawn = {key: (row.value.count, row.value.clusters) for key, row in numbers(oracle).items()}
    for key in (
        ("identity", "likeness"),
        ("prompt", "scene"),
        ("context", "drift_from_prior"),
        ("routing", "inside"),
        ("routing", "own_map"),
    ):
        assert drawn[key] == (12, 6), key
    assert drawn["two people", "nearest_embedding"] == drawn["two people", "shirt_color"] == (12, 6)
    assert drawn["two people", "both_own"] == drawn["context", "drift_between_subjects"] == (6, 6)
    assert drawn["context", "other_seed"] == drawn["diversity", "over_seeds"] == (2, 2)


def test_a_wrong_colour_of_jackets_is_seen_and_no_shirt_with_it(knowing):
    def red(case):
        seen = truth(case)
        people = [replace(s, words=s.words | {"jacket_color": "purple"}) for s in seen.sightings]
        return reading(case.scene, *people)

    found = values(measure_adapter(knowing, knowing.painter(red), knowing.painter(truth), **FEW))
    assert found["prompt", "jacket_color"] == 0 and found["prompt", "shirt_color"] == found["prompt", "outfit"] == 1


def test_nearest_of_pairs_is_about_who_is_there_not_about_the_clothes(oracle, knowing):
    rows = numbers(oracle)
    assert rows["two people", "nearest_embedding"].prior.value == rows["two people", "both_nearest"].prior.value == 0
    found = values(measure_adapter(knowing, knowing.painter(swapped), knowing.painter(truth), **FEW))
    assert found["two people", "both_nearest"] == 1 and found["two people", "both_own"] == 0
    found = values(measure_adapter(knowing, knowing.painter(doubled), knowing.painter(truth), **FEW))
    assert found["two people", "both_nearest"] == 0 and found["two people", "nearest_embedding"] == 0.5


def test_three_people_and_other_kinds_asked_of_the_prior(knowing):
    found = numbers(measure_prior(knowing, knowing.painter(truth), **FEW))
    counts = {name: row.value.count for (group, name), row in found.items() if group in ("three people", "other kinds")}
    assert counts["number"] == 3 and counts["shirt_color"] == 9 and counts["kind"] == 6 and counts["one_robot"] == 2
    assert all(row.value.value == 1 for (group, _), row in found.items() if group in ("three people", "other kinds"))

    def people_only(case):
        return truth(case if case.kind == "person" else replace(case, parts=(Part(0, single_cases(2)[0].parts[0].state),)))

    found = numbers(measure_prior(knowing, knowing.painter(people_only), **FEW))
    assert found["other kinds", "kind"].value.value == found["other kinds", "one_plant"].value.value == 0
    assert found["other kinds", "robot_body_color"].value.value == 0 and found["other kinds", "scene"].value.value == 1
    found = numbers(measure_prior(knowing, knowing.painter(doubled), **FEW))
    assert found["three people", "number"].value.value == 0


def test_prior_autoencoder_and_reader(knowing):
    found = numbers(measure_prior(knowing, knowing.painter(truth), **FEW))
    assert found["prompt", "scene"].value.value == found["said of the person", "glasses"].value.value == 1
    assert "none" not in found and found["said of the person", "beard"].value.count < 12
    found = numbers(measure_autoencoder(knowing, knowing.painter(truth), people=12, pairs=6))
    assert (found["agreement", "skin"].value.count, found["agreement", "skin"].value.clusters) == (24, 12)
    assert found["agreement", "all_attributes"].value.clusters == found["pixels", "psnr"].value.clusters == 12
    assert found["agreement", "all_attributes"].value.value == 1 and found["read from reconstructions", "scene"].value.value == 1
    assert found["pixels", "psnr"].value.value > 40
    spoilt = numbers(measure_autoencoder(knowing, knowing.painter(stranger), people=12, pairs=6))
    assert 0.3 < spoilt["agreement", "all_attributes"].value.value < 0.97
    found = numbers(measure_reader(knowing, people=12, pairs=6))
    assert found["identity", "hair_color"].value.value == 1 and found["identity", "hair_color"].ceiling is None


def test_report_is_one_file_with_everything_in_it(oracle, tmp_path):
    write_report(tmp_path, "adapter", "people & <co>", oracle, {"command": "python evaluate.py", "people": 12}, examples=1, seeds=2)
    text = (tmp_path / "report.html").read_text()
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text and "people &amp; &lt;co&gt;" in text
    assert text.count("data:image/webp;base64,") > 8 and "nan" not in text.lower().split("<style>")[0]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {row["name"] for row in metrics["rows"]} >= {"hair_color", "scene", "drift_from_prior", "both_own", "inside", "over_seeds"}
    assert metrics["settings"]["people"] == 12 and metrics["pairs_confusion"]["rows"] == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert (tmp_path / "singles.png").stat().st_size > 1000 and (tmp_path / "pairs.png").exists()


def test_ablations_in_one_table(oracle, tmp_path):
    folders = []
    for title in ("moa", "single_branch", "kept"):
        settings = {"command": f"python evaluate.py name={title}", "keep_context": title == "kept"}
        write_report(tmp_path / title, "adapter", title, oracle, settings, examples=0, seeds=2)
        folders.append(tmp_path / title)
    text = write_ablations(folders, tmp_path / "docs" / "ablations.md", command="python evaluate.py what=ablations")
    file = tmp_path / "docs" / "ablations.md"
    assert text == file.read_text()
    file.write_text(text + "\n## Reading the table\n\nBy hand.\n")
    again = write_ablations(folders, file, command="python evaluate.py what=ablations")
    assert again == file.read_text() and again.startswith(text) and again.endswith("## Reading the table\n\nBy hand.\n")
    assert "| moa | 100.0 ± 0.0 |" in text and "moa: identity 100.0 % against 100.0 % (+0.0 points), context drift" in text
    assert "\nkept: identity 100.0 %" in text and "single_branch: identity" not in text
    assert all(command in text for command in ("python evaluate.py name=moa", "what=ablations"))
    with pytest.raises(ValueError, match="Two of the runs are called 'moa'.*another name="):
        write_ablations([folders[0], folders[0]], file, command="")
    lines = ablation_table({"moa": read_metrics(folders[0])}).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 5
    assert lines[-1].startswith("| *ceiling* | 100.0 ± 0.0 |") and lines[-2].startswith("| *the prior alone* |")
    with pytest.raises(ValueError, match="no row"):
        claim({"title": "x", "rows": []}, {"title": "y", "rows": []})
    with pytest.raises(ValueError, match="holds no metrics"):
        read_metrics(tmp_path)


def test_the_table_of_the_docs_is_what_its_metrics_say(tmp_path, monkeypatch):
    file = ROOT / "docs" / "ablations.md"
    command = re.search(r"^python evaluate.py what=ablations .*$", file.read_text(), re.M)[0]
    words = OmegaConf.from_dotlist(shlex.split(command)[2:])
    (tmp_path / "ablations.md").write_text(file.read_text())
    monkeypatch.chdir(ROOT)
    assert write_ablations(words.runs, tmp_path / "ablations.md", command=command) == file.read_text()
    runs = [read_metrics(run) for run in words.runs]
    assert {run["title"] for run in runs} >= {
        "moa",
        "moa_kept_context",
        "single_branch",
        "no_router_loss",
        "no_space_time",
        "cross_only",
        "constant_router",
    }
    assert all(run["settings"]["people"] >= 150 for run in runs)
