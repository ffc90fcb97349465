"""A reader that knows the answers, and pictures of cases as a perfect reader sees them."""

from dataclasses import dataclass, field

import numpy as np

from moa.evaluation.attributes import ATTRIBUTES, readable
from moa.evaluation.painters import Picture
from moa.evaluation.protocol import Case
from moa.evaluation.reader import Reading, Sighting

BOXES = {1: [(30, 20, 95, 122)], 2: [(4, 30, 60, 120), (68, 30, 124, 120)], 3: [(2, 40, 42, 120), (44, 40, 84, 120), (86, 40, 126, 120)]}


def sighting(part, box, *, clothes=None) -> Sighting:
    """A subject as a perfect reader sees it; `clothes`: the part whose clothes and face a person wears instead of its own."""
    words = {name: table[0] for name, table in ATTRIBUTES[part.kind].items()}
    if part.kind != "person":
        return Sighting(part.kind, 0.9, box, words | readable(part.kind, part.labels), np.eye(1, 4096, part.number)[0])
    worn = readable("person", (clothes or part).labels)
    own = readable("person", part.labels)
    words |= {k: v for k, v in worn.items() if k in ("outfit", "shirt_color", "jacket_color", "trousers_color", "expression")}
    words |= {k: v for k, v in own.items() if k in ("hair_style", "hair_color", "hat_color", "skin", "glasses", "beard")}
    embedding = np.zeros(4096)
    embedding[part.number] = 1
    return Sighting("person", 0.9, box, words, embedding)


def reading(scene: str, *people: Sighting) -> Reading:
    """A picture in which these people are all there is."""
    mask = np.zeros((128, 128), bool)
    for person in people:
        left, top, right, bottom = (int(side) for side in person.box)
        mask[top:bottom, left:right] = True
    return Reading(scene, people, mask)


def truth(case: Case) -> Reading:
    """A case read perfectly."""
    return reading(case.scene, *(sighting(part, box) for part, box in zip(case.parts, BOXES[len(case.parts)], strict=True)))


@dataclass
class KnowingReader:
    """Reads the pictures of `painter`s made with it, by their first pixels."""

    readings: list[Reading] = field(default_factory=list)

    def read(self, pictures, *, batch_size: int = 64) -> list[Reading]:
        return [self.readings[int.from_bytes(picture[0, 0].tobytes(), "big")] for picture in pictures]

    def painter(self, answer):
        """A painter whose picture of a case reads as `answer(case)`; its experts draw exactly on the people."""

        def paint(cases):
            pictures = []
            for case in cases:
                found = answer(case)
                image = np.full((128, 128, 3), 100, np.uint8)
                image[found.mask] = 200
                image[0, 0] = np.frombuffer(len(self.readings).to_bytes(3, "big"), np.uint8)
                self.readings.append(found)
                experts = found.mask.astype(np.float32)
                people = found.of_kind("person")
                maps = {name: found.figure(p).astype(np.float32) for name, p in zip(case.names, people, strict=False)}
                pictures.append(Picture(image, experts, maps))
            return pictures

        return paint
