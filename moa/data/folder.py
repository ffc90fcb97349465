"""Subjects from folders of pictures: reference and target are different pictures of one subject wherever there are two."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from moa.data.examples import Subject, SubjectExample
from moa.data.shots import NAME, Shot, check_prompt, read_shot, read_text

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
UNREADABLE = (".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2")
TEMPLATES = (
    "a photo of <subject>",
    "a picture of <subject>",
    "<subject>",
    "a photo of the <subject>",
    "a close-up photo of <subject>",
    "a cropped photo of <subject>",
    "a bright photo of <subject>",
    "a good photo of <subject>",
)


class FolderSubjects(Dataset[SubjectExample]):
    """Examples of the subject in a folder of pictures, or of one subject in each of its sub-folders.

    A mask is the picture's alpha channel, else the file `<name>.mask.png` beside it, else (our choice) the largest ellipse
    in the picture: the subject is taken to be in the middle, and the corners go to the prior. A caption is the file
    `<name>.txt` beside the picture, else one of `prompts`; both say <subject>. A sub-folder's `noun.txt` is its noun.
    `size` is the side of the prior's pictures in pixels; `fit` is "crop" (a square around the subject) or "whole" (all of
    the picture, with white bars). References with a mask stand before a plain colour half of the time; `flip` mirrors
    pictures half of the time. Every example is a pure function of (seed, index).
    Errors: ValueError naming the file for a folder without pictures, a picture or mask that cannot be read, and a caption
    without <subject>; a warning for a subject with a single picture.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        noun: str,
        prompts: Sequence[str] = TEMPLATES,
        size: int = 512,
        references: int = 1,
        fit: str = "crop",
        flip: bool = True,
        seed: int = 0,
        length: int = 100_000,
    ):
        if not isinstance(noun, str) or not noun.strip():
            raise ValueError(f"noun={noun!r} is no class noun; say what the subject is in a word or two, such as noun=dog.")
        if fit not in ("crop", "whole"):
            raise ValueError(
                f"fit={fit!r} is unknown; choose 'crop' (a square around the subject) or 'whole' (all of it, with white bars)."
            )
        if size < 16 or references < 1:
            raise ValueError(f"size={size} and references={references} cannot be used; give at least 16 pixels and 1 reference.")
        for prompt in prompts:
            check_prompt(prompt, "The prompt")
        self.noun, self.prompts, self.references, self.flip, self.seed, self.length = noun, tuple(prompts), references, flip, seed, length
        folders = find_subjects(Path(path).expanduser())
        self.nouns = [noun_of(folder, noun) for folder in folders]
        self.shots = [[read_shot(file, size, fit) for file in pictures_in(folder)] for folder in folders]
        for folder, shots in zip(folders, self.shots, strict=True):
            if len(shots) == 1:
                warnings.warn(
                    f"{str(folder)!r} has a single picture, which is then reference and target at once: what changes between pictures of the "
                    "subject cannot be learned, and text will hardly change it. Add a second one.", stacklevel=2,
                )  # fmt: skip

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> SubjectExample:
        if not 0 <= index < self.length:
            raise IndexError(f"got index {index}; allowed are 0 to {self.length - 1}")
        rng = np.random.default_rng([self.seed, index])
        who = index % len(self.shots)
        target, others = draw_shots(rng, self.shots[who], self.references)
        prompt = target.caption or self.prompts[rng.integers(len(self.prompts))]
        references = tuple(self._mirrored(rng, backdrop(rng, shot)) for shot in others)
        image, mask = self._mirrored(rng, target.image, target.mask)
        return SubjectExample(image, prompt, {NAME: Subject(tuple(r for (r,) in references), self.nouns[who], mask)})

    def _mirrored(self, rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        turn = self.flip and rng.random() < 0.5
        return tuple(np.ascontiguousarray(array[:, ::-1]) if turn else array for array in arrays)


def draw_shots(rng: np.random.Generator, shots: list[Shot], references: int) -> tuple[Shot, list[Shot]]:
    """A target, and references that are other pictures if there are any."""
    order = rng.permutation(len(shots))
    others = order[1 : 1 + references] if len(shots) > 1 else order
    return shots[order[0]], [shots[i] for i in others]


def backdrop(rng: np.random.Generator, shot: Shot) -> UInt8[np.ndarray, "h w 3"]:
    """A reference, before a plain random colour half of the time if it has an exact mask (our choice)."""
    if not shot.exact or rng.random() < 0.5:
        return shot.close
    return np.where(shot.close_mask[..., None], shot.close, rng.integers(0, 256, 3, dtype=np.uint8))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in order, without masks and hidden files.

    Errors: ValueError for a picture of a format that is not read.
    """
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith((".", "_"))]
    for file in files:
        if file.suffix.lower() in UNREADABLE:
            raise ValueError(f"{str(file)!r} is a {file.suffix[1:].upper()}; save it as PNG, JPEG or WEBP, or move it out of the folder.")
    return [file for file in files if file.suffix.lower() in SUFFIXES and not file.stem.endswith(".mask")]


def find_subjects(path: Path) -> list[Path]:
    """The folders with one subject each: this one, or its sub-folders.

    Errors: ValueError for no folder, one without pictures, or pictures both here and in sub-folders.
    """
    if not path.is_dir():
        what = (
            "is a file; give the folder it is in"
            if path.exists()
            else f"does not exist; check the path (it is read from the folder {str(Path.cwd())!r})"
        )
        raise ValueError(f"The folder of pictures {str(path)!r} {what}.")
    inside = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith((".", "_"))]
    below = [folder for folder in inside if pictures_in(folder)]
    if pictures_in(path) and below:
        raise ValueError(
            f"{str(path)!r} holds pictures and so does its sub-folder {below[0].name!r}; give one subject's folder, or move all pictures into sub-folders, one a subject."
        )
    if pictures_in(path):
        return [path]
    if not below:
        raise ValueError(
            f"There are no pictures in {str(path)!r}; put PNG, JPEG or WEBP files of the subject there, or one folder of them a subject."
        )
    if len(below) < len(inside):
        empty = next(folder for folder in inside if folder not in below)
        raise ValueError(f"There are no pictures in {str(empty)!r}; put some there, or remove it.")
    return below


def noun_of(folder: Path, noun: str) -> str:
    """What the folder's `noun.txt` says, else the noun given.

    Errors: ValueError for an empty file.
    """
    file = folder / "noun.txt"
    if not file.is_file():
        return noun
    said = read_text(file)
    if not said:
        raise ValueError(f"{str(file)!r} is empty; write the class noun of the subject into it, such as dog, or remove it.")
    return said
