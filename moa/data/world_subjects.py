"""Subjects of the embedded picture world: reference and target are different pictures of the same one."""

from torch.utils.data import Dataset

from moa.data.examples import Subject, SubjectExample
from moa.data.world import CLASSES, World


class WorldSubjects(Dataset[SubjectExample]):
    """Examples of one or more classes of the world (`kinds`), `references` pictures of each subject.

    Prompts name the subjects from left to right unless they say who stands where, so that "<a> and <b>" has one meaning.
    A share `plain` of the examples leaves some subjects in words, so that the router learns whose pixels are whose.
    Errors: ValueError as `World`.
    """

    def __init__(
        self,
        *,
        kinds: tuple[str, ...] = ("person",),
        split: str = "train",
        count: tuple[int, ...] = (1, 2),
        weights: tuple[float, ...] = (0.6, 0.4),
        references: int = 1,
        plain: float = 0.15,
        size: int = 128,
        seed: int = 1,
        length: int = 100_000,
        left_to_right: bool = True,
    ):
        common = dict(
            seed=seed, size=size, kinds=tuple(kinds), count=tuple(count), weights=tuple(weights),
            references=references, length=length, empty=0.0, left_to_right=left_to_right,
        )  # fmt: skip
        self.all, self.some = World(split, placeholders="all", **common), World(split, placeholders="some", **common)
        self.noun, self.every = CLASSES[kinds[0]][0].noun, round(1 / plain) if plain > 0 else 0

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, index: int) -> SubjectExample:
        world = self.some if self.every and index % self.every == 0 else self.all
        example = world.example(index)
        subjects = {
            view.name: Subject(view.references, view.noun, mask)
            for view, mask in zip(example.subjects, example.masks, strict=True)
            if view.placeholder
        }
        return SubjectExample(example.image, example.prompt, subjects)
