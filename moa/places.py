"""Where the embedded models are. Nothing heavy is imported."""

from pathlib import Path


def embedded(name: str) -> Path:
    """The folder `name` beside the package's modules, or, where a checkout has no symbolic links (on Windows, say), the one they would lead to."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else inside.parents[1] / name


MODELS = embedded("models")


def find_model(path: str | Path) -> str:
    """A folder as it is, an embedded model by "models/tiny" or "tiny" from anywhere, or else the hub id itself."""
    if Path(path).is_dir():
        return str(path)
    inside = MODELS / str(path).removeprefix("models/")
    return str(inside) if inside.is_dir() else str(path)
