"""The page, in Gradio. Nothing is loaded from elsewhere, and nothing is sent anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from features.errors import ErcError, UsageError
from features.extras import install_extra
from pipeline.app.answers import CURVE_COLUMNS, about, answer
from pipeline.app.turns import COLUMNS, pasted_rows, recorded_talk, typed_talk
from pipeline.predict import Predictor
from pipeline.predict.turns import Talk

MAX_UPLOAD = "512mb"
_IN_THE_DARK = ".dark { --color-accent: var(--primary-400) }"  # a theme has one accent for both
_KEPT_S = 3600  # how long an upload stays on this machine
_EXAMPLE = [["Ross", "Hi.", ""], ["Rachel", "Go away!", ""]]


def check_gradio() -> None:
    """Raises UsageError where Gradio is not installed."""
    if find_spec("gradio") is None:
        raise UsageError(f"the app needs Gradio: {install_extra('app')}")


def build_app(predictor: Predictor) -> Any:
    """The page, a `gradio.Blocks` that `launch` serves. One prediction at a time: the predictor is one.

    Raises UsageError as `check_gradio`.
    """
    check_gradio()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    import gradio as gr

    def told(talk: Callable[[], Talk], what_if: bool) -> tuple[Any, Any, str]:
        with _one_line_errors(gr.Error):
            try:
                found = answer(predictor.predict([talk()], what_if=what_if))
            finally:
                predictor.close()  # what was uploaded does not stay in its store
        table = {"headers": found.header, "data": found.rows}
        return table, found.curves.to_pandas(), found.words

    def of_turns(rows: list[list[Any]], uploads: list[str] | None, what_if: bool) -> tuple[Any, Any, str]:
        return told(lambda: typed_talk(rows, uploads or []), what_if)

    def of_recording(recording: str | None, transcript: str | None, what_if: bool) -> tuple[Any, Any, str]:
        return told(lambda: recorded_talk(recording, transcript), what_if)

    name = predictor.run.name
    with gr.Blocks(analytics_enabled=False, title=name, delete_cache=(_KEPT_S, _KEPT_S)) as page:
        gr.Markdown(f"# {name}\n\n{about(predictor.run)}")
        with gr.Tabs():
            with gr.Tab("Turns"):
                pasted = gr.Textbox(label="Paste turns, one a line: Ross: Hi.", lines=3)
                take = gr.Button("Put them into the table")
                rows = gr.Dataframe(
                    _EXAMPLE,
                    headers=list(COLUMNS),
                    column_count=len(COLUMNS),
                    type="array",
                    interactive=True,
                    label="Turns; a clip is the name of a file below",
                )
                clips = gr.File(label="Clips (picture, sound or both)", file_count="multiple")
                ask_turns = gr.Button("Predict", variant="primary")
            with gr.Tab("A recording with its transcript"):
                recording = gr.File(label="Recording")
                transcript = gr.File(label="Transcript: .srt, .vtt or .json", file_types=[".srt", ".vtt", ".json"])
                ask_recording = gr.Button("Predict", variant="primary")
        what_if = gr.Checkbox(label="Also what would be predicted without each modality")
        table = gr.Dataframe(label="Emotions", interactive=False, wrap=True)
        turn, emotion, probability = CURVE_COLUMNS
        curves = gr.LinePlot(
            x=turn, y=probability, color=emotion, y_lim=[0, 1], title="Probabilities as the talk goes on"
        )
        words = gr.Markdown()
        take.click(pasted_rows, pasted, rows, api_name="paste")
        answers: Any = {"outputs": [table, curves, words], "concurrency_limit": 1, "concurrency_id": "predict"}
        ask_turns.click(of_turns, [rows, clips, what_if], api_name="turns", **answers)
        ask_recording.click(of_recording, [recording, transcript, what_if], api_name="recording", **answers)
    return page


def launch(page: Any, host: str | None = None, port: int | None = None, *, block: bool = True) -> str:
    """Serve a page; gives its address. host, port: None leaves both to Gradio, which a Space tells by its environment.

    Raises UsageError where it cannot be served there.
    """
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=not block,
            max_file_size=MAX_UPLOAD,
            ssr_mode=False,
            theme=_theme(),
            css=_IN_THE_DARK,
        )
    except (OSError, ValueError) as error:
        where = f"{host or 'this machine'}:{port or 'any port'}"
        raise UsageError(f"cannot serve at {where} ({' '.join(str(error).split())}): give another --port") from error
    return str(address)


def _theme() -> Any:
    """Gradio's own, in a blue that can be read, and with fonts of this machine: none of another server's."""
    import gradio as gr

    theme = gr.themes.Default(
        primary_hue="blue", secondary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    )
    return theme.set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_500",
    )


@contextmanager
def _one_line_errors(shown: Callable[..., Exception]) -> Iterator[None]:
    """What goes wrong is one line on the page, as it is on the command line."""
    try:
        yield
    except ErcError as error:
        raise shown(" ".join(str(error).split()), print_exception=False) from error
    except Exception as error:
        message = " ".join(str(error).split()) or "no message"
        raise shown(f"unexpected {type(error).__name__}: {message}") from error
