"""What the reader saw in a painter's pictures, and who in them is whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from moa.evaluation.identity import match
from moa.evaluation.painters import Picture
from moa.evaluation.protocol import Case
from moa.evaluation.reader import Reader, Reading, Sighting


@dataclass(frozen=True, slots=True)
class Seen:
    """Cases, the pictures drawn for them, their readings, and for every subject of each case its region (None: nobody left)."""

    cases: Sequence[Case]
    pictures: Sequence[Picture]
    readings: Sequence[Reading]
    matched: Sequence[Sequence[Sighting | None]]

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def images(self) -> list[np.ndarray]:
        """The pictures' pixels."""
        return [picture.image for picture in self.pictures]

    @property
    def flat(self) -> list[Sighting | None]:
        """The regions of all subjects of all cases in turn."""
        return [sighting for row in self.matched for sighting in row]

    @property
    def labels(self) -> list[dict[str, str]]:
        """What one should see of them, in the same order."""
        return [part.labels for case in self.cases for part in case.parts]

    @property
    def where(self) -> list[int]:
        """The number of the picture that each subject is in."""
        return [i for i, case in enumerate(self.cases) for _ in case.parts]

    @property
    def clusters(self) -> list[int]:
        """Which pictures share their noise."""
        return [case.cluster for case in self.cases]

    @property
    def flat_clusters(self) -> list[int]:
        """The same of each subject: those of one picture are always together."""
        return [self.clusters[i] for i in self.where]

    def of_kind(self, kind: str) -> "Seen":
        """The pictures whose subjects are of one kind."""
        kept = [i for i, case in enumerate(self.cases) if case.kind == kind]
        return Seen(*([column[i] for i in kept] for column in (self.cases, self.pictures, self.readings, self.matched)))

    def figures(self, index: int) -> Bool[np.ndarray, "h w"]:
        """The pixels of the subjects that picture `index` was to show."""
        reading = self.readings[index]
        masks = [reading.figure(sighting) for sighting in self.matched[index] if sighting is not None]
        return np.any([np.zeros_like(reading.mask), *masks], axis=0)


def look(reader: Reader, cases: Sequence[Case], pictures: Sequence[Picture], *, clothes: bool = False) -> Seen:
    """Reads the pictures of some cases and matches every subject to its best region among those of its kind, by who it is; with
    `clothes` by everything about it, as is fair to a painter that knows nobody."""
    readings = reader.read([picture.image for picture in pictures])
    matched = [
        match(reading.of_kind(case.kind), [part.labels for part in case.parts], clothes=clothes)
        for case, reading in zip(cases, readings, strict=True)
    ]
    return Seen(cases, pictures, readings, matched)
