"""moa: experts around a frozen text-to-image diffusion prior. Importing it does no work."""

from importlib import import_module

from moa._version import __version__

_PUBLIC = {
    "MoAPipeline": "moa.pipelines",
    "MoAOutput": "moa.pipelines",
    "MoAAdapter": "moa.where",
    "SubjectEmbedding": "moa.prompt.subject",
    "SubjectEncoder": "moa.prompt.encoder",
    "load_prior": "moa.prior",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'moa' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
