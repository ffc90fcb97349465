"""What a drawing run is asked for: the settings of conf/infer.yaml, checked before anything heavy is imported."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from PIL import Image

from moa.inputs import EMBEDDING, read_region, read_subject
from moa.places import find_model
from moa.prompt.placeholders import names_in
from moa.values import kind, number, one_of, side, text, texts, whole

DTYPES = ("float32", "float16", "bfloat16")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Showcase:
    """A sheet of example subjects: prompts for one (<a>) and for two of them (<a>, <b>), and a picture's side in pixels."""

    examples: str | list[str] | None
    scenes: list[str]
    pairs: list[str]
    tile: int

    def __post_init__(self) -> None:
        texts("showcase.scenes", self.scenes), texts("showcase.pairs", self.pairs)
        whole("showcase.tile", self.tile, 32, 1024)
        for path in self.examples if isinstance(self.examples, list) else [self.examples]:
            if path is not None:
                text("showcase.examples", path)
        for prompt, names in [(p, {"a"}) for p in self.scenes] + [(p, {"a", "b"}) for p in self.pairs]:
            if set(names_in(prompt)) != names:
                raise ValueError(
                    f"showcase has the prompt {prompt!r}; it must name {' and '.join(f'<{n}>' for n in sorted(names))}, and no one else."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which prior: its path or hub id, its number format, and the variant of its files (null: the plain ones)."""

    path: str
    dtype: str
    variant: str | None

    def __post_init__(self) -> None:
        text("prior.path", self.path)
        one_of("prior.dtype", self.dtype, DTYPES)
        if self.variant is not None:
            text("prior.variant", self.variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All settings of a drawing run; the fields are the schema of conf/infer.yaml.

    Errors: ValueError that names the setting, its value and what is allowed.
    """

    prior: Model
    adapters: dict[str, str | None]
    prompt: str | None
    negative_prompt: str | None
    subjects: dict[str, str | list[str]]
    morph: dict[str, str | list[str]]
    stages: int
    nouns: dict[str, str]
    routing: dict[str, str | list[float]]
    steps: int
    guidance: float
    seed: int
    count: int
    retries: int
    batch_size: int | None
    height: int | None
    width: int | None
    scale: float
    scales: dict[str, float]
    window: list[float]
    keep_context: bool
    out: str | None
    overlay: bool
    layers: bool
    device: str
    showcase: Showcase

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "out"):
            if getattr(self, name) is not None:
                text(name, getattr(self, name), empty=name == "negative_prompt")
        for name in ("adapters", "subjects", "morph", "nouns", "routing", "scales"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is a {kind(getattr(self, name))}; give it by name, as in {name}.alice=..."
                )
        (
            whole("steps", self.steps, 1, 1000),
            whole("stages", self.stages, 2, 100),
            whole("count", self.count, 1, 10_000),
            whole("retries", self.retries, 0, 100),
            whole("seed", self.seed, 0, 2**63 - 1),
        )
        number("guidance", self.guidance, 0, 100), number("scale", self.scale, 0, 1)
        for name in ("height", "width"):
            if getattr(self, name) is not None:
                side(name, getattr(self, name))
        if self.batch_size is not None:
            whole("batch_size", self.batch_size, 1, 1000)
        _window(self.window)
        for name in ("keep_context", "overlay", "layers"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} is a {kind(getattr(self, name))}; give true or false.")
        one_of("device", self.device.partition(":")[0] if isinstance(self.device, str) else self.device, DEVICES)
        for name, value in self.adapters.items():
            if value is not None:
                text(f"adapters.{name}", value)
        for name, value in self.nouns.items():
            text(f"nouns.{name}", value)
        for name, value in self.scales.items():
            number(f"scales.{name}", value, 0, 1)
        _agree(self)

    def together(self, side: int) -> int:
        """How many pictures are drawn at once; `side` is that of the prior's own pictures, in pixels."""
        return self.batch_size or min(4, max(1, 512 * 512 // ((self.height or side) * (self.width or side))))

    def record(self) -> dict:
        """What a saved picture remembers."""
        return {
            name: value for name, value in asdict(self).items() if name not in ("out", "showcase", "count", "retries", "overlay", "layers")
        }

    def pictures(self) -> dict[str, list[Image.Image] | Path]:
        """Every subject's pictures, read; or the path of its saved embedding.

        Errors: ValueError naming the subject for a picture that cannot be read, or none.
        """
        return {name: read_subject(f"subjects.{name}", value) for name, value in self.subjects.items()}

    def targets(self) -> dict[str, list[Image.Image] | Path]:
        """The same of those that subjects turn into.

        Errors: ValueError as `pictures`.
        """
        return {name: read_subject(f"morph.{name}", value) for name, value in self.morph.items()}

    def regions(self) -> dict[str, Image.Image | list[float]]:
        """Every region given: masks, read, and boxes.

        Errors: ValueError naming the subject for what is neither.
        """
        return {name: read_region(f"routing.{name}", value) for name, value in self.routing.items()}


def read_request(values: dict) -> Request:
    """The settings as a checked request.

    Errors: ValueError for settings that are missing, unknown, or of a wrong kind.
    """
    parts = {"prior": Model, "showcase": Showcase}
    for name in parts:
        if not isinstance(values.get(name), dict):
            raise ValueError(
                f"{name}={values.get(name)!r} is a {kind(values.get(name))}; set its parts, as in {name}.{fields(parts[name])[0].name}=..."
            )
    try:
        made = {name: part(**{k: v for k, v in values[name].items() if k != "_target_"}) for name, part in parts.items()}
        return Request(**values | made)
    except TypeError as error:
        raise ValueError(
            f"The settings are not those of conf/infer.yaml: {error}. Take it as it is shipped and change values only."
        ) from None


def _own_word(prior: str, word: str) -> bool:
    """Whether a prior may know a word by itself, as one that was saved with a textual inversion does; a hub is not asked."""
    folder = Path(find_model(Path(prior).expanduser()))
    return not folder.is_dir() or any(word in file.read_text(errors="ignore") for file in (folder / "tokenizer").glob("*.json"))


def _window(value) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"window={value!r} is no pair; give [start,end], fractions of the run, such as window=[0,0.8].")
    for i, name in enumerate(("start", "end")):
        number(f"window's {name}", value[i], 0, 1)
    if value[0] >= value[1]:
        raise ValueError(f"window={value!r} ends before it starts; give [start,end] with start < end.")


def _agree(request: Request) -> None:
    """ValueError where settings do not go together: subjects and prompt, names and subjects."""
    if request.prompt is None:
        if request.subjects:
            raise ValueError(
                f'Subjects are given ({", ".join(request.subjects)}), but no prompt; add "prompt=<{next(iter(request.subjects))}> in the snow".'
            )
    else:
        for name in request.subjects:
            if name not in names_in(request.prompt):
                raise ValueError(
                    f"The subject {name!r} does not occur in the prompt {request.prompt!r}; write <{name}> where it belongs, or leave subjects.{name}= out."
                )
        for name in names_in(request.prompt):
            if name not in request.subjects and not _own_word(request.prior.path, f"<{name}>"):
                raise ValueError(
                    f"The prompt {request.prompt!r} names <{name}>, of whom there is no picture; give one (subjects.{name}=picture.png), or write a noun."
                )
    for group in ("morph", "nouns", "routing"):
        for name in getattr(request, group):
            if name not in request.subjects:
                raise ValueError(
                    f"{group}.{name} is about {name!r}, who is not among the subjects ({', '.join(request.subjects) or 'none'}); add subjects.{name}= or leave it out."
                )
    for name, value in request.morph.items():
        ends = (request.subjects[name], value)
        here, there = (len(end) if isinstance(end, list) else 1 for end in ends)
        if here != there and not any(isinstance(end, str) and end.endswith(EMBEDDING) for end in ends):
            raise ValueError(f"subjects.{name} has {here} pictures and morph.{name} has {there}; give both the same number.")
    if request.layers and (request.morph or not request.subjects):
        raise ValueError(
            "layers=true shows where one picture's subjects were drawn; give it with a prompt and subjects, and without morph."
        )
    if request.retries and (request.morph or not request.subjects):
        raise ValueError(
            f"retries={request.retries} draws a picture again in which a subject may be missing; give it with a prompt and subjects, and without morph."
        )
    for name in request.scales:
        if name not in request.subjects and name not in request.adapters:
            known = ", ".join([*request.subjects, *request.adapters]) or "none"
            raise ValueError(f"scales.{name} is neither a subject nor an adapter; known are {known}.")
    if request.subjects and not any(request.adapters.values()):
        raise ValueError(
            "Subjects are given, but every adapter is left out; set adapters.people= to a trained adapter, such as models/tiny-people."
        )
