"""The settings of an evaluation, checked before anything heavy is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from moa.places import find_model
from moa.values import kind, number, one_of, text, whole

KINDS = ("adapter", "prior", "autoencoder", "reader", "ablations")
QUICK = 5  # `quick` asks for this much less


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of an evaluation; the fields are the schema of conf/evaluate.yaml (`prior` is the path of its group).

    Errors: ValueError that names the setting, its value and what is allowed.
    """

    what: str
    prior: str
    dtype: str
    variant: str | None
    adapter: str
    reader: str
    name: str | None
    out: str | None
    runs: list[str]
    people: int
    pairs: int
    diverse: int
    seeds: int
    quick: bool
    steps: int
    guidance: float
    keep_context: bool
    batch_size: int
    examples: int
    device: str

    def __post_init__(self) -> None:
        one_of("what", self.what, KINDS)
        one_of("prior.dtype", self.dtype, ("float32", "float16", "bfloat16"))
        for name in ("prior", "adapter", "reader", "device"):
            text(name, getattr(self, name))
        for name in ("variant", "name", "out"):
            if getattr(self, name) is not None:
                text(name, getattr(self, name))
        for name in ("quick", "keep_context"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} cannot be used; give true or false.")
        if not isinstance(self.runs, list):
            raise ValueError(f'runs={self.runs!r} is a {kind(self.runs)}; give a list of folders: "runs=[a,b]".')
        for name, low, high in (
            ("people", 2, 5000),
            ("pairs", 1, 2000),
            ("diverse", 1, 500),
            ("seeds", 2, 50),
            ("steps", 1, 1000),
            ("batch_size", 1, 1024),
            ("examples", 0, 100),
        ):
            whole(name, getattr(self, name), low, high)
        number("guidance", self.guidance, 0, 50)
        if 2 * self.diverse > self.people:
            raise ValueError(
                f"diverse={self.diverse} with people={self.people} cannot be used; it takes every other person, so give people={2 * self.diverse} or more."
            )
        if self.what == "ablations" and len(self.runs) < 2:
            raise ValueError(
                f'runs={self.runs} is too short for a table; give two or more folders that `python evaluate.py` wrote: "runs=[a,b]".'
            )

    @property
    def title(self) -> str:
        """The name of the report."""
        return self.name or (Path(self.adapter).name if self.what == "adapter" else self.what)

    @property
    def chosen(self) -> Path | None:
        """The folder to write to, if it is there or not; None for a new one."""
        default = Path("docs") if self.what == "ablations" else None
        return Path(self.out) if self.out else default

    def sized(self) -> "Settings":
        """With `quick`, a fifth of the people, pairs and subjects of several seeds, and half of the seeds."""
        if not self.quick:
            return self
        people = max(4, self.people // QUICK)
        return replace(
            self, people=people, pairs=max(2, self.pairs // QUICK), diverse=max(1, min(self.diverse // QUICK, people // 2)),
            seeds=max(2, self.seeds // 2), quick=False,
        )  # fmt: skip

    def facts(self, command: str) -> dict[str, object]:
        """What to write beside the numbers: the command and whatever they depend on."""
        used = {
            "adapter": ("prior", "adapter", "reader", "people", "pairs", "diverse", "seeds", "steps", "guidance", "keep_context"),
            "prior": ("prior", "reader", "people", "pairs", "diverse", "seeds", "steps", "guidance"),
            "autoencoder": ("prior", "reader", "people", "pairs"),
            "reader": ("reader", "people", "pairs"),
            "ablations": ("runs",),
        }[self.what]
        return {"command": command} | {name: getattr(self, name) for name in used}


SETTINGS = tuple(sorted({field.name for field in fields(Settings)} - {"dtype", "variant"} | {"hydra"}))


def read_settings(values: Mapping[str, object]) -> Settings:
    """A composed configuration as settings.

    Errors: ValueError for a setting there is none of, and as `Settings`.
    """
    prior = values.get("prior")
    if not isinstance(prior, Mapping) or not {"path", "dtype", "variant"} <= set(prior):
        raise ValueError(f"prior={prior!r} is no prior; give prior=tiny, the folder of a model, or parts such as prior.dtype=float16.")
    flat = {name: value for name, value in values.items() if name != "prior"}
    flat |= {"prior": prior["path"], "dtype": prior["dtype"], "variant": prior["variant"]}
    unknown = sorted(set(flat) - {field.name for field in fields(Settings)})
    if unknown:
        raise ValueError(f"There is no setting {unknown[0]!r}; all of them: {', '.join(SETTINGS)}.")
    try:
        settings = Settings(**flat)
    except TypeError as error:
        raise ValueError(
            f"The settings are not those of conf/evaluate.yaml: {error}. Take it as it is shipped and change values only."
        ) from None
    if settings.what != "ablations" and not (Path(find_model(settings.reader)) / "config.json").is_file():
        raise ValueError(
            f"reader={settings.reader!r} holds no attribute reader; train one with `python train.py experiment=reader`, or give its folder."
        )
    return settings
