"""Does the picture follow the text? Scene, number of people, clothes and expression read back."""

from collections.abc import Sequence

from moa.evaluation.identity import answers
from moa.evaluation.protocol import Case
from moa.evaluation.reader import Reading, Sighting

ASKED = ("scene", "outfit", "shirt_color", "expression")


def asked_and_read(
    cases: Sequence[Case], readings: Sequence[Reading], matched: Sequence[Sequence[Sighting | None]], attribute: str
) -> tuple[list[str], list[str | None]]:
    """Truth and answer of what the text asked for: the scene of each picture, or an attribute of each subject on whom it is visible."""
    if attribute == "scene":
        return [case.scene for case in cases], [reading.scene for reading in readings]
    subjects = [part.labels for case in cases for part in case.parts]
    return answers([sighting for row in matched for sighting in row], subjects, attribute)


def right_number(cases: Sequence[Case], readings: Sequence[Reading]) -> list[bool]:
    """Whether each picture shows as many people as asked for, and nobody else."""
    return [
        len(reading.of_kind("person")) == len(case.parts) == len(reading.sightings)
        for case, reading in zip(cases, readings, strict=True)
    ]
