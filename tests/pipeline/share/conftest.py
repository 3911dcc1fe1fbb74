"""The small world that tests of prediction use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `predict_world.make_world`."""
    from predict_world import make_world

    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder
