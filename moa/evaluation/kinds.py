"""Robots, creatures and plants drawn from words: is one there, and as the words say?"""

from dataclasses import replace

from moa.evaluation.alignment import asked_and_read, right_number
from moa.evaluation.identity import Answers
from moa.evaluation.protocol import OTHERS
from moa.evaluation.rows import Row, Trio, share_row, word_row
from moa.evaluation.seen import Seen

GROUP = "other kinds"
SAID = (("robot", "body_color"), ("robot", "accent_color"), ("creature", "body_color"), ("plant", "plant"), ("plant", "pot_color"))


def kind_rows(trio: Trio) -> list[Row]:
    """Pictures of one robot, creature or plant each: which kind is there, in which scene, whether alone, and what was said of it."""
    rows = [word_row(GROUP, "kind", trio, _kinds), word_row(GROUP, "scene", trio, lambda seen: asked_and_read(seen, "scene"))]
    rows += [share_row(GROUP, f"one_{kind}", trio.of_kind(kind), right_number) for kind in OTHERS]
    for kind, name in SAID:
        rows.append(
            word_row(GROUP, f"{kind}_{name}", trio.of_kind(kind), lambda seen, kind=kind, name=name: asked_and_read(seen, name, kind))
        )
    return [replace(row, aim=None) for row in rows]


def _kinds(seen: Seen) -> Answers:
    """The kind asked for, and that of the subject seen best."""
    read = [reading.sightings[0].kind if reading.sightings else None for reading in seen.readings]
    return Answers([case.kind for case in seen.cases], read, seen.clusters)
