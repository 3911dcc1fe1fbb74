"""The folder of the sample corpus: MELD's CSV files and clip folders, written whole or to be completed."""

from __future__ import annotations

import csv
import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from features.errors import ErcError, UsageError
from features.files import write_bytes_whole
from features.hardware import cores, pool_size
from pipeline.sample.script import EMOTIONS, FRAMES_PER_SECOND, MIN_DIALOGUES, SPLITS, Line, write_script
from pipeline.terminal.progress import progress_bar

DEFAULT_DIALOGUES = 100
GENERATOR_VERSION = 1  # raise when the same seed gives another corpus

NOTICE = "SYNTHETIC.md"
CLIP_FOLDERS = {
    "train": "train/train_splits",
    "dev": "dev/dev_splits_complete",
    "test": "test/output_repeated_splits_test",
}
COLUMNS = (
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
_MADE_BY = re.compile(r"`erc sample --dialogues (\d+) --seed (\d+)`, generator version (\d+)")


@dataclass(frozen=True)
class SampleSummary:
    """What `write_sample` did.

    utterances:   split -> rows of its CSV file
    clips_written, clips_kept: clips made now, and found complete from an earlier run
    """

    out: Path
    dialogues: int
    seed: int
    utterances: dict[str, int]
    clips_written: int
    clips_kept: int
    seconds: float

    def sentence(self) -> str:
        """One line for people."""
        total = sum(self.utterances.values())
        splits = ", ".join(f"{split} {count}" for split, count in self.utterances.items())
        kept = f", {self.clips_kept} kept" if self.clips_kept else ""
        return (
            f"{self.out}: synthetic corpus, {self.dialogues} dialogues, {total} utterances ({splits}); "
            f"{self.clips_written} clips written{kept} in {self.seconds:.0f} s"
        )


def write_sample(
    out: Path, dialogues: int = DEFAULT_DIALOGUES, seed: int = 0, workers: int | None = None
) -> SampleSummary:
    """Write the sample corpus into a new or empty folder, or complete the same one after an interruption.

    dialogues: at least 3, so that every split has one; a larger corpus of the same seed begins with the smaller one
    workers:   processes that render clips; default one a core; 1 renders in this process. The files do not depend on it

    The CSV files are written last: without them the corpus is not complete. Raises UsageError for a number that does
    not fit or a folder that holds anything else, ErcError where a worker process dies.
    """
    started = time.perf_counter()
    if dialogues < MIN_DIALOGUES:
        raise UsageError(f"dialogues ({dialogues}) must be at least {MIN_DIALOGUES}: one for each split")
    if seed < 0:
        raise UsageError(f"seed ({seed}) must be 0 or more")
    if workers is not None and workers < 1:
        raise UsageError(f"workers ({workers}) must be at least 1")
    lines = write_script(dialogues, seed)
    _claim(out, dialogues, seed, lines)
    clips = [line for line in lines if line.blemish != "absent"]
    wanted = [line for line in clips if not _is_complete(clip_path(out, line))]
    _render_all(out, wanted, workers)
    for split in SPLITS:
        write_bytes_whole(out / f"{split}_sent_emo.csv", _table([line for line in lines if line.split == split]))
    return SampleSummary(
        out=out,
        dialogues=dialogues,
        seed=seed,
        utterances={split: sum(line.split == split for line in lines) for split in SPLITS},
        clips_written=len(wanted),
        clips_kept=len(clips) - len(wanted),
        seconds=time.perf_counter() - started,
    )


def clip_path(out: Path, line: Line) -> Path:
    """Where MELD has the clip of an utterance."""
    return out / CLIP_FOLDERS[line.split] / f"{line.name}.mp4"


def render_clip(line: Line) -> bytes:
    """The mp4 of one utterance."""
    from pipeline.sample.clip import encode_clip
    from pipeline.sample.face import draw_frames
    from pipeline.sample.speakers import SPEAKERS
    from pipeline.sample.voice import SAMPLE_RATE_HZ, mouth_openings, speak

    speaker = SPEAKERS[line.speaker]
    num_samples = line.num_frames * SAMPLE_RATE_HZ // FRAMES_PER_SECOND
    samples = speak(line.prosody, speaker, num_samples, line.generator(1))
    frames = None
    if line.blemish != "no-video":
        mouth = mouth_openings(samples, line.num_frames)
        frames = draw_frames(speaker, line.shown["visual"], mouth, line.dialogue, line.generator(2))
    return encode_clip(frames, None if line.blemish == "no-audio" else samples, FRAMES_PER_SECOND)


def _render_all(out: Path, lines: list[Line], workers: int | None) -> None:
    for folder in CLIP_FOLDERS.values():
        (out / folder).mkdir(parents=True, exist_ok=True)
    with progress_bar(len(lines), "clip", "sample") as bar:
        for _ in _rendered(out, lines, workers):
            bar.update()


def _rendered(out: Path, lines: list[Line], workers: int | None) -> Iterator[None]:
    count = pool_size(min(workers or cores(), max(1, len(lines) // 8)))
    render = partial(_render_into, out)
    if count == 1:
        yield from map(render, lines)
        return
    # Started anew rather than forked: the caller may hold threads.
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        yield from pool.map(render, lines, chunksize=4)
    except BrokenProcessPool as error:
        raise ErcError(
            f"{out}: a process that rendered clips died: run the same command again, it continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _render_into(out: Path, line: Line) -> None:
    import cv2

    cv2.setNumThreads(1)
    write_bytes_whole(clip_path(out, line), render_clip(line))


def _is_complete(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _claim(out: Path, dialogues: int, seed: int, lines: list[Line]) -> None:
    """Put SYNTHETIC.md into a new or empty folder, or find the same one there. Raises UsageError for anything else."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a new or empty folder")
    notice = out / NOTICE
    text = _notice(dialogues, seed, lines)
    if notice.is_file():
        found = notice.read_text(encoding="utf-8", errors="replace")
        if found != text:
            made_by = _MADE_BY.search(found)
            what = f"another corpus, of {made_by.group()}" if made_by else f"a {NOTICE} of something else"
            wanted = f"`erc sample --dialogues {dialogues} --seed {seed}`, generator version {GENERATOR_VERSION}"
            raise UsageError(f"{out} holds {what}, not of {wanted}: give another folder")
    else:
        others = sorted(path.name for path in out.iterdir() if not _is_temporary(path)) if out.is_dir() else []
        if others:
            raise UsageError(f"{out} holds {others[0]!r} and no {NOTICE}: give a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        write_bytes_whole(notice, text.encode())
    for folder in (out, *(out / name for name in CLIP_FOLDERS.values())):
        for leftover in folder.glob(".*.tmp") if folder.is_dir() else ():
            leftover.unlink(missing_ok=True)


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _table(lines: list[Line]) -> bytes:
    """The CSV file of a split, as MELD writes it: UTF-8, lines end with CR LF, ids count within the split."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for number, line in enumerate(lines, start=1):
        writer.writerow(
            (
                number,
                line.text,
                line.speaker,
                line.emotion,
                line.sentiment,
                line.dialogue,
                line.turn,
                line.season,
                line.episode,
                _clock(line.start_ms),
                _clock(line.end_ms),
            )
        )
    return file.getvalue().encode()


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{rest:03d}"


_BLEMISH_TEXT = {
    "no-audio": "has no audio stream",
    "no-video": "has no video stream",
    "absent": "is not there",
}


def _notice(dialogues: int, seed: int, lines: list[Line]) -> str:
    """SYNTHETIC.md. The same seed, size and generator give the same text: that is how a corpus is recognised."""
    rows = []
    for split in SPLITS:
        counts = Counter(line.emotion for line in lines if line.split == split)
        rows.append(
            f"| {split} | {counts.total()} | " + " | ".join(str(counts[emotion]) for emotion in EMOTIONS) + " |"
        )
    blemishes = [
        f"- `{CLIP_FOLDERS[line.split]}/{line.name}.mp4` {_BLEMISH_TEXT[line.blemish]}"
        for line in lines
        if line.blemish
    ]
    return "\n".join(
        [
            "# A synthetic corpus",
            "",
            f"Made by `erc sample --dialogues {dialogues} --seed {seed}`, generator version {GENERATOR_VERSION}.",
            "",
            "Nobody in it exists. The faces are drawn, the voices are synthesised and babble, the sentences come from",
            "templates. It is laid out like MELD, so that the whole path can be tried without MELD. It tests plumbing",
            "only: **scores on it say nothing about emotion recognition.**",
            "",
            "Text, voice and face show the annotated emotion most of the time, each independently of the others;",
            "else they show a similar one, or stay neutral. So no single modality suffices, and their fusion does",
            "better by construction.",
            "",
            "| split | utterances | " + " | ".join(EMOTIONS) + " |",
            "|---|---|" + "---|" * len(EMOTIONS),
            *rows,
            "",
            "Real corpora have broken clips, and so has this one:" if blemishes else "Every clip is whole.",
            *(["", *blemishes] if blemishes else []),
            "",
        ]
    )
