"""Shape annotations of the metrics are executed here; a reader that knows the answers stands in for the trained one."""

import sys

import pytest
from jaxtyping import install_import_hook

MODULES = ("statistics", "identity", "context", "routing", "diversity", "pairs", "sheets", "describer", "detector", "attributes")
if "moa.evaluation.reader" not in sys.modules:
    install_import_hook([f"moa.evaluation.{name}" for name in MODULES], "beartype.beartype")

from moa.evaluation.protocol import pair_cases, single_cases  # noqa: E402

from knowing import KnowingReader, truth  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def sprites(tmp_path_factory):
    """Sprites that these tests draw are kept for their run only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def knowing():
    """A reader that knows the answers; what the world itself would draw reads perfectly."""
    reader = KnowingReader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moa.evaluation.measure.world_painter", reader.painter(truth))
        yield reader


@pytest.fixture(scope="session")
def singles():
    return single_cases(12)


@pytest.fixture(scope="session")
def doubles():
    return pair_cases(6)
