"""Where the embedded models are. Nothing heavy is imported."""

from pathlib import Path

MODELS = Path(__file__).parent / "models"


def find_model(path: str | Path) -> str:
    """A folder as it is, an embedded model by "models/tiny" or "tiny" from anywhere, or else the hub id itself."""
    if Path(path).is_dir():
        return str(path)
    inside = MODELS / str(path).removeprefix("models/")
    return str(inside) if inside.is_dir() else str(path)
