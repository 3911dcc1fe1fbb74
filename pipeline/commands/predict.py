"""`erc predict`: emotions of turns that nobody has labelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.command_line import given_command
from pipeline.terminal.options import LocalPath, json_option
from pipeline.terminal.output import print_json, print_warning

if TYPE_CHECKING:
    from features.manifest import Manifest
    from pipeline.predict import Predicted, Predictor
    from pipeline.predict.turns import Talk

_EPILOG = """\b
Example:
  erc predict runs/mine --clip scene.mp4 --text "You did what?" --speaker Rachel
  erc predict runs/mine --dialogue talk.json --html talk.html
  erc predict runs/mine --video episode.mp4 --transcript episode.srt --what-if
  erc predict runs/mine --manifest new.parquet --store store --out predictions.parquet

\b
A dialogue's JSON:
  [{"speaker": "Ross", "text": "Hi.", "clip": "a.mp4"}, {"speaker": "Rachel", "text": "Go away!"}]

Exit status: 0; 3 if some input could not be used. It is named, and the rest is predicted.
"""


@click.command(epilog=_EPILOG)
@click.argument("run", metavar="RUN", type=LocalPath())
@click.option(
    "--dialogue", type=LocalPath(), help="JSON file of one or more dialogues: turns with text, speaker and clip."
)
@click.option("--clip", type=LocalPath(), help="The media file of one utterance: picture, sound or both.")
@click.option("--text", help="What is said in one utterance.")
@click.option("--speaker", default="", help="Who says it.", show_default=False)
@click.option(
    "--video", type=LocalPath(), help="One recording of a whole conversation; its turns come from --transcript."
)
@click.option(
    "--transcript",
    type=LocalPath(),
    help="Transcript of --video: .srt, .vtt, or the .json file of a transcription tool.",
)
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Predict every utterance of a manifest, in batches. Embeddings are read from --store and added to it.",
)
@click.option(
    "--store",
    type=LocalPath(file_okay=False),
    help="With --manifest: the store to read embeddings from and add them to.  [default: the store of the run]",
)
@click.option("--device", default="auto", help="Where encoders compute: auto, cpu, cuda, cuda:N or mps.")
@click.option("--what-if", is_flag=True, help="Also show what would be predicted without each modality in turn.")
@click.option(
    "--out", type=LocalPath(dir_okay=False), help="Write the predictions as a table: .parquet, .csv or .json."
)
@click.option(
    "--html",
    type=LocalPath(dir_okay=False),
    help="Write a page with clip, turns, and probabilities over the conversation.",
)
@json_option
def command(
    run: Path,
    dialogue: Path | None,
    clip: Path | None,
    text: str | None,
    speaker: str,
    video: Path | None,
    transcript: Path | None,
    manifest: Path | None,
    store: Path | None,
    device: str,
    what_if: bool,
    out: Path | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Predict the emotions of turns: texts, clips, a recording with its transcript, or the utterances of a manifest.

    The turns go through the encoders that RUN was trained with, with the same settings. If an encoder is not available,
    the command says which one, and how to get it. The probabilities are the mean over the seeds of RUN, calibrated by a
    temperature that is fitted on dev. If a turn has no text, clip or sound, it is predicted from what it has. A warning
    says if the code that makes the heads' output has changed since they were trained.
    """
    from features.errors import UsageError

    sources = {"--dialogue": dialogue, "--clip or --text": clip or text, "--video": video, "--manifest": manifest}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        names = ", ".join(sources)
        raise UsageError(f"give one of {names}" + (f", not {' and '.join(given)}" if given else ""))
    if (video is None) != (transcript is None):
        raise UsageError("--video and --transcript go together: the transcript says when who says what")
    if store is not None and manifest is None:
        raise UsageError("--store works only with --manifest: other embeddings are not kept")
    if out is not None and out.suffix.lower() not in (".parquet", ".csv", ".json"):
        raise UsageError(f"--out {out}: the ending must be .parquet, .csv or .json")
    talks = None if manifest else _talks(dialogue, clip, text, speaker, video, transcript)
    for option, path in (("--out", out), ("--html", html)):
        if path is not None:
            _make_parent(path, option)

    from pipeline.predict import Predictor
    from pipeline.runs.folder import find_run

    with Predictor(find_run(run), device, store) as predictor:
        predicted = _predict(predictor, talks, manifest, store, what_if)
    if out is not None:
        _write_table(predicted, out)
    if html is not None:
        from pipeline.predict.page import predicted_page
        from pipeline.runs.json_files import write_text

        write_text(html, predicted_page(predicted, predictor.run, given_command()))
    if as_json:
        print_json(_document(predicted, predictor), indent=1)
    else:
        _print(predicted)
    for utterance_id, folder, reason in predicted.notes:
        print_warning(f"{utterance_id}: {folder}: {reason}")
    return 3 if predicted.notes else 0


def _talks(
    dialogue: Path | None,
    clip: Path | None,
    text: str | None,
    speaker: str,
    video: Path | None,
    transcript: Path | None,
) -> list[Talk]:
    from features.errors import UsageError
    from pipeline.predict.turns import Talk, Turn, read_talks, turn_problems

    if dialogue is not None:
        return read_talks(dialogue)
    if video is not None and transcript is not None:
        from pipeline.predict.transcript import read_transcript

        return [read_transcript(transcript, video)]
    turn = Turn(speaker, text or "", clip)
    if problems := turn_problems(turn):
        raise UsageError(f"the utterance {'; '.join(problems)}")
    return [Talk("0", (turn,))]


def _predict(
    predictor: Predictor, talks: list[Talk] | None, manifest: Path | None, store: Path | None, what_if: bool
) -> Predicted:
    from pipeline.terminal.progress import progress_bar

    if talks is not None:
        with progress_bar(sum(len(talk.turns) for talk in talks), "utt", "predict") as bar:
            return predictor.predict(talks, what_if=what_if, advance=bar.update)
    rows, place = _manifest(manifest), _store(store, predictor)
    with progress_bar(len(rows) * len(predictor.run.features.features), "row", "predict") as bar:
        return predictor.predict_manifest(rows, place, what_if=what_if, advance=bar.update)


def _manifest(path: Path | None) -> Manifest:
    from features.manifest import read_manifest

    return read_manifest(path or Path())


def _store(given: Path | None, predictor: Predictor) -> Path:
    from features.errors import UsageError

    recorded = predictor.run.features.store
    if given is None and recorded is None:
        raise UsageError(f"{predictor.run.path}: recorded no store: give --store DIR")
    return given or Path(recorded or "")


def _make_parent(path: Path, option: str) -> None:
    """Before the work, since embeddings of turns are not kept. Raises UsageError where it cannot be made."""
    from features.errors import UsageError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {path}: its folder cannot be made ({error.strerror}): give another path") from error


def _write_table(predicted: Predicted, path: Path) -> None:
    import polars as pl

    from features.files import write_whole

    frame = predicted.frame
    kind = path.suffix.lower()
    if kind != ".parquet":  # which have no lists
        frame = frame.with_columns(pl.col("missing").list.join("+"))
    writers: dict[str, Callable[[Path], object]] = {
        ".parquet": frame.write_parquet,
        ".csv": frame.write_csv,
        ".json": frame.write_json,
    }
    write_whole(path, writers[kind])


def _print(predicted: Predicted) -> None:
    from pipeline.terminal.tables import text_table

    probabilities = predicted.probabilities
    order = (-probabilities).argsort(axis=1)
    rows = []
    for row, line in enumerate(predicted.frame.iter_rows(named=True)):
        best, second = order[row, :2] if len(predicted.labels) > 1 else (order[row, 0], order[row, 0])
        said = " ".join(line["text"].split())
        cells = [
            f"{line['speaker'] or '-'}: {said[:56]}{'...' if len(said) > 56 else ''}",
            line["predicted"],
            f"{100 * probabilities[row, best]:.0f} %",
            f"{predicted.labels[second]} {100 * probabilities[row, second]:.0f} %",
            "+".join(line["missing"]),
        ]
        changed = [
            f"{modality}: {predicted.labels[int(values[row].argmax())]} {100 * values[row].max():.0f} %"
            for modality, values in predicted.without.items()
        ]
        rows.append(cells + ([", ".join(changed)] if predicted.without else []))
    header = ["turn", "predicted", "", "then", "missing", *(["without"] if predicted.without else [])]
    click.echo(text_table(header, rows))
    click.echo(_calibration(predicted))


def _calibration(predicted: Predicted) -> str:
    temperature = predicted.temperature
    if temperature is None:
        return "Probabilities are not calibrated: the run has no predictions on dev."
    return f"Probabilities are calibrated (temperature {temperature.value:.2f}, of {temperature.rows:,} rows of dev)."


def _document(predicted: Predicted, predictor: Predictor) -> dict[str, Any]:
    from dataclasses import asdict

    temperature = predicted.temperature
    utterances = []
    for row, line in enumerate(predicted.frame.iter_rows(named=True)):
        told = {key: line[key] for key in _TOLD}
        told["probabilities"] = {label: line[f"p_{label}"] for label in predicted.labels}
        if temperature is not None:
            told["calibrated"] = {label: line[f"calibrated_{label}"] for label in predicted.labels}
        if predicted.without:
            told["without"] = {
                modality: dict(zip(predicted.labels, values[row].tolist(), strict=True))
                for modality, values in predicted.without.items()
            }
        utterances.append(told)
    return {
        "run": str(predictor.run.path),
        "experiment": predictor.run.name,
        "seeds": predictor.seeds,
        "features": [use.folder for use in predictor.run.features.features],
        "labels": list(predicted.labels),
        "changed_since_training": predictor.since_training.changed or None,
        "temperature": asdict(temperature) if temperature else None,
        "utterances": utterances,
        "notes": [{"utterance_id": who, "feature": folder, "reason": why} for who, folder, why in predicted.notes],
    }


_TOLD = (
    *("utterance_id", "dialogue_id", "turn", "speaker", "text", "media", "start", "end", "predicted"),
    *("missing", "no_input"),
)
