"""Shape annotations of the world are executed in its tests; sprites are shared by the tests of one run."""

import sys

import pytest
from jaxtyping import install_import_hook

if "moa.data.world" not in sys.modules:
    install_import_hook("moa.data.world", "beartype.beartype")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("sprites")


@pytest.fixture(scope="session")
def world(cache):
    from moa.data.world import World

    return World("test", references=1, placeholders="some", identities=12, length=24, cache=cache)


@pytest.fixture(scope="session")
def examples(world):
    return [world[i] for i in range(len(world))]
