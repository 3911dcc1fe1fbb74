"""The page of `erc app` as a browser asks it, over localhost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from page_checks import contrast
from predict_world import rows_of, run_of, talks_of

from pipeline.app.page import _IN_THE_DARK, _theme, build_app, launch
from pipeline.predict import Predictor
from pipeline.predict.turns import Talk, Turn

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="the extra `app` is not installed")
ROWS = [["Ross", "Hi.", ""], ["Rachel", "Go away!", ""]]


@pytest.fixture(scope="module")
def client(world: Path) -> Iterator[Any]:
    from gradio_client import Client

    with Predictor(run_of(world, "causal"), "cpu") as predictor:
        page = build_app(predictor)
        address = launch(page, "127.0.0.1", block=False)
        yield Client(address, verbose=False, analytics_enabled=False)
        page.close(verbose=False)


def table(rows: list[list[str]]) -> dict[str, Any]:
    return {"headers": ["speaker", "text", "clip"], "data": rows, "metadata": None}


def test_what_is_typed_is_predicted_as_the_predictor_does(world: Path, client: Any) -> None:
    found, curves, words = client.predict(table(ROWS), None, True, api_name="/turns")
    with Predictor(run_of(world, "causal"), "cpu") as predictor:
        expected = predictor.predict([Talk("talk", (Turn("Ross", "Hi."), Turn("Rachel", "Go away!")))])
    place = found["headers"].index("emotion")
    assert [row[place] for row in found["data"]] == expected.frame["predicted"].to_list()
    assert {"without text", "without audio", "without visual"} <= set(found["headers"])
    numbers = {(turn, emotion): value for turn, emotion, value in curves["data"]}
    assert len(numbers) == 2 * len(expected.labels)
    for row in range(2):
        for column, label in enumerate(expected.labels):
            assert numbers[(row + 1, label)] == pytest.approx(expected.probabilities[row, column], abs=1e-9)
    assert "temperature" in words


def test_an_uploaded_clip_is_heard(world: Path, client: Any) -> None:
    from gradio_client import handle_file

    clip = next(turn.clip for talk in talks_of(rows_of(world, "test")) for turn in talk.turns if turn.clip)
    rows = [["Ross", "Hi.", clip.name], ["Rachel", "Go away!", ""]]
    found, _, _ = client.predict(table(rows), [handle_file(str(clip))], False, api_name="/turns")
    place = found["headers"].index("missing")
    assert [row[place] for row in found["data"]] == ["", "audio, visual"]


def test_what_is_wrong_is_one_line(client: Any) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match=r"^turn 1: no uploaded clip is called 'x\.mp4': upload it first$"):
        client.predict(table([["", "", "x.mp4"]]), None, False, api_name="/turns")
    with pytest.raises(AppError, match=r"^upload a recording, too$"):
        client.predict(None, None, False, api_name="/recording")


def test_pasted_lines_fill_the_table(client: Any) -> None:
    assert client.predict("Ross: Hi.\nGo away!", api_name="/paste")["data"] == [
        ["Ross", "Hi.", ""],
        ["", "Go away!", ""],
    ]


def test_nothing_is_loaded_from_another_server(client: Any) -> None:
    """No font, no script, no analytics: the page works where there is no network."""
    config = client.config
    assert config["analytics_enabled"] is False
    assert not config["stylesheets"] or all(not str(sheet).startswith("http") for sheet in config["stylesheets"])


def test_what_is_in_colour_can_be_read() -> None:
    """White on the button that predicts, and the chosen tab on the page, light and dark."""
    theme = _theme()
    shades = {f"*primary_{name}": getattr(theme, f"primary_{name}") for name in (400, 500, 600, 700)}
    shades |= {f"*neutral_{name}": getattr(theme, f"neutral_{name}") for name in (400, 500)}
    buttons = [name for name in dir(theme) if name.startswith("button_primary_background_fill")]
    assert len(buttons) == 4
    for name in buttons:
        assert contrast("#ffffff", shades[getattr(theme, name)]) >= 4.5, name
    for name in ("color_accent", "body_text_color_subdued"):
        assert contrast("#ffffff", shades[getattr(theme, name)]) >= 4.5, name
    assert re.findall(r"var\(--primary-(\d+)\)", _IN_THE_DARK) == ["400"]
    assert contrast(theme.neutral_800, theme.primary_400) >= 4.5
