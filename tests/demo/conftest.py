"""The embedded model and adapter, opened once as the page's command line opens them."""

import pytest

from moa.demo.__main__ import settings_of
from moa.drawing import open_pipeline


@pytest.fixture(scope="session")
def settings():
    return settings_of("tiny", "models/tiny-people", "float32", "cpu")


@pytest.fixture(scope="session")
def pipe(settings):
    return open_pipeline(settings)
