"""Fixtures that tests of every part share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real MELD text, clip and tokenizer beside the project; skips where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data: the real MELD text and clip are not on this machine")
    return SHARED_DATA
