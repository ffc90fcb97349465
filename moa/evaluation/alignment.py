"""Does the picture follow the text? Scene, number of subjects, clothes, their colour and expression read back.

A colour is the shirt's, or that of jacket, suit, coat or dress, whichever is worn. What the prompts of `protocol` say and nothing reads is
the colour of a full beard of somebody without visible hair, in `worded` ones: the reader has no head for it. They never name the
trousers, the shoes or a shirt under a jacket, of which the reader has a head for the trousers alone.
"""

from moa.evaluation.identity import Answers, answers
from moa.evaluation.seen import Seen

ASKED = ("scene", "outfit", "shirt_color", "jacket_color", "expression")


def asked_and_read(seen: Seen, attribute: str, kind: str = "person") -> Answers:
    """What the text asked for: the scene of each picture, or an attribute of each subject (all of one kind) on whom it is visible."""
    if attribute == "scene":
        return Answers([case.scene for case in seen.cases], [reading.scene for reading in seen.readings], seen.clusters)
    return answers(seen.flat, seen.labels, seen.flat_clusters, attribute, kind)


def right_number(seen: Seen) -> list[bool]:
    """Whether each picture shows as many subjects of the kind asked for as were asked for, and nobody else."""
    return [
        len(reading.of_kind(case.kind)) == len(case.parts) == len(reading.sightings)
        for case, reading in zip(seen.cases, seen.readings, strict=True)
    ]
