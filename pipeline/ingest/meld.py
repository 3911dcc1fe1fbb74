"""MELD: three CSV files and, perhaps, three folders of clips. The generated sample corpus has the same layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.cards import DatasetCard, load_card
from features.digests import sha256_file
from features.errors import ManifestError, UsageError, nearest
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import Row, TextRepairs, annotated_duration, episode, raise_problems, read_rows
from pipeline.ingest.clips import ClipFolder, find_clips, find_table, places, unpack_commands, unpack_hint
from pipeline.ingest.probe import probe_clips
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise

SPLITS = ("train", "dev", "test")
SYNTHETIC_MARKER = "SYNTHETIC.md"
DURATION_TOLERANCE_S = 1.0

_COLUMNS = (
    "Utterance", "Speaker", "Emotion", "Sentiment",
    "Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip


@dataclass
class _Noticed:
    """Everything about the corpus that is told at the end; ids unless said otherwise."""

    repairs: TextRepairs = field(default_factory=TextRepairs)
    other_tables: list[str] = field(default_factory=list)  # file names
    no_clip_folder: list[str] = field(default_factory=list)  # splits
    still_packed: list[str] = field(default_factory=list)  # commands
    missing_clips: list[str] = field(default_factory=list)
    clips_without_rows: list[str] = field(default_factory=list)  # paths, as the next three
    apple_double: list[str] = field(default_factory=list)
    final_videos: list[str] = field(default_factory=list)
    other_files: list[str] = field(default_factory=list)
    known_bad: list[str] = field(default_factory=list)
    durations: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)


def ingest_meld(
    root: str | Path,
    splits: Sequence[str] | None = None,
    dataset: str | None = None,
    probe: bool = True,
    media_root: str | Path | None = None,
    follow_symlinks: bool = False,
) -> tuple[Manifest, IngestSummary]:
    """A manifest of MELD as it lies under `root`, and what was noticed on the way.

    splits:     of train, dev, test; by default those whose table is there
    dataset:    names the card and leads every id; by default `sample` where `root` holds SYNTHETIC.md, else `meld`
    probe:      read every clip's length from its header and note those more than a second off the annotation
    media_root: where the clip folders are looked for, if not under `root`; clip paths are relative to it
    follow_symlinks: probe clips, too, that symbolic links lead to out of that folder

    A row's `media` is the clip's path where the clip exists; null with a note where its folder exists but lacks it;
    null without a note where there is no clip folder at all. Raises ManifestError or UsageError for what cannot be
    read; nothing in the clip folders stops it.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(f"no folder {root}: give the folder that MELD was unpacked into")
    card = load_card(_dataset_of(root, dataset))
    tables = _tables(root, splits, card)
    clip_root = Path(media_root) if media_root is not None else root
    noticed = _Noticed()
    rows: list[dict[str, Any]] = []
    any_folder = False
    for split, table in tables.items():
        folder = find_clips(clip_root, split, card.folders.get(split, []))
        if folder is None:
            noticed.still_packed += unpack_commands(clip_root, [split])
        any_folder = any_folder or folder is not None
        rows += _split_rows(table, split, card, folder, noticed)
        checksum = card.checksums.get(table.name)
        if checksum is not None and checksum != sha256_file(table):  # after it was read: what cannot be is told there
            noticed.other_tables.append(table.name)
    if media_root is not None and not any_folder:
        looked = f"no clip folder of {', '.join(tables)} under {clip_root}: looked for {_folder_names(card, tables)}"
        raise ManifestError(looked + unpack_hint(noticed.still_packed))
    if probe:
        _compare_durations(rows, clip_root, noticed, follow_symlinks)
    for row in rows:
        row["note"] = "; ".join(row.pop("notes")) or None
    manifest = build_manifest(frame_of(rows), card, clip_root if any_folder else None)
    return manifest, summarise(manifest, _findings(noticed, any_folder, probe))


def _dataset_of(root: Path, dataset: str | None) -> str:
    synthetic = (root / SYNTHETIC_MARKER).is_file()
    if dataset is None:
        return "sample" if synthetic else "meld"
    if synthetic and not load_card(dataset).synthetic:
        raise UsageError(
            f"{root} holds {SYNTHETIC_MARKER}: a generated corpus cannot be ingested as {dataset!r}; use `sample`"
        )
    return dataset


def _tables(root: Path, splits: Sequence[str] | None, card: DatasetCard) -> dict[str, Path]:
    for split in splits or ():
        if split not in SPLITS:
            raise UsageError(f"no split {split!r} in MELD: {nearest(split, SPLITS)}")
    wanted = [split for split in SPLITS if splits is None or split in splits]
    found = {split: find_table(root, split) for split in wanted}
    if splits is not None:
        for split, path in found.items():
            if path is None:
                raise ManifestError(
                    f"no {split}_sent_emo.csv in {root} or its folders {', '.join(places(split)[1:4])}, ...:"
                    f" get it from {card.url or 'the corpus'}, or leave {split!r} out of --splits"
                    + unpack_hint(unpack_commands(root, [split]))
                )
    tables = {split: path for split, path in found.items() if path is not None}
    if not tables:
        names = ", ".join(f"{split}_sent_emo.csv" for split in SPLITS)
        raise ManifestError(
            f"{root} holds none of {names}: give the folder that MELD was unpacked into"
            + unpack_hint(unpack_commands(root, SPLITS))
        )
    return tables


def _split_rows(
    table: Path, split: str, card: DatasetCard, folder: ClipFolder | None, noticed: _Noticed
) -> list[dict[str, Any]]:
    problems: list[str] = []
    rows, keys = [], set()
    for record in read_rows(table, _COLUMNS, noticed.repairs):
        key = _key(record, problems)
        if key is not None:
            keys.add(key)
            rows.append(_row(record.cells, key, split, card, folder, noticed))
    raise_problems(table, problems)
    if folder is None:
        noticed.no_clip_folder.append(split)
    else:
        noticed.clips_without_rows += [
            f"{split}/{name}" for key, name in sorted(folder.clips.items()) if key not in keys
        ]
        noticed.apple_double += [f"{split}/{name}" for name in folder.apple_double]
        noticed.final_videos += [f"{split}/{name}" for name in folder.final_videos]
        noticed.other_files += [f"{split}/{name}" for name in folder.others]
    return rows


def _key(record: Row, problems: list[str]) -> tuple[int, int] | None:
    try:
        return int(record.cells["Dialogue_ID"]), int(record.cells["Utterance_ID"])
    except ValueError:
        dialogue, utterance = record.cells["Dialogue_ID"], record.cells["Utterance_ID"]
        problems.append(
            f"{record.where}: Dialogue_ID {dialogue!r} and Utterance_ID {utterance!r} must be whole numbers"
        )
        return None


def _row(
    cells: dict[str, str],
    key: tuple[int, int],
    split: str,
    card: DatasetCard,
    folder: ClipFolder | None,
    noticed: _Noticed,
) -> dict[str, Any]:
    dialogue_id = f"{card.dataset}/{split}/dia{key[0]}"
    utterance_id = f"{dialogue_id}_utt{key[1]}"
    notes = []
    if utterance_id in card.known_bad:
        noticed.known_bad.append(utterance_id)
        notes.append(f"known-bad clip: {card.known_bad[utterance_id]}")
    media = None
    if folder is not None and key in folder.clips:
        media = f"{folder.path}/{folder.clips[key]}"
    elif folder is not None:
        noticed.missing_clips.append(utterance_id)
        notes.append(f"no clip dia{key[0]}_utt{key[1]}.mp4 in {folder.path}")
    duration, trouble = annotated_duration(cells["StartTime"], cells["EndTime"])
    if trouble is not None:
        noticed.times.append(utterance_id)
        notes.append(trouble)
    return {
        "utterance_id": utterance_id,
        "dataset": card.dataset,
        "split": split,
        "dialogue_id": dialogue_id,
        "turn": key[1],
        "speaker": cells["Speaker"].strip(),
        "text": cells["Utterance"],
        "label": cells["Emotion"].strip().lower() or None,
        "sentiment": cells["Sentiment"].strip().lower() or None,
        "media": media,
        "duration": duration,
        "group": episode(cells["Season"], cells["Episode"]),
        "notes": notes,
    }


def _compare_durations(
    rows: Iterable[dict[str, Any]], media_root: Path, noticed: _Noticed, follow_symlinks: bool
) -> None:
    """Note clips whose length disagrees with the annotation, and those that do not open. They keep their `media`."""
    with_clip = [row for row in rows if row["media"] is not None]
    paths = [media_root / row["media"] for row in with_clip]
    lengths = probe_clips(paths, None if follow_symlinks else media_root) if with_clip else []
    for row, length in zip(with_clip, lengths, strict=True):
        annotated = row["duration"]
        if isinstance(length, str):
            noticed.unreadable.append(row["utterance_id"])
            row["notes"].append(f"clip cannot be opened: {length}")
        elif annotated is not None and abs(length - annotated) > DURATION_TOLERANCE_S:
            noticed.durations.append(row["utterance_id"])
            row["notes"].append(f"clip lasts {length:.2f} s, annotated {annotated:.2f} s")


def _folder_names(card: DatasetCard, splits: Iterable[str]) -> str:
    return ", ".join(name for split in splits for name in card.folders.get(split, []))


def _findings(noticed: _Noticed, any_folder: bool, probed: bool) -> list[Finding]:
    findings = [
        *noticed.repairs.findings(),
        finding("other-tables", noticed.other_tables, "Not the bytes that the card was written from: another edition."),
        finding(
            "unusable-times", noticed.times, "Start and end give no length: duration is null, and a note says why."
        ),
        finding(
            "known-bad",
            noticed.known_bad,
            "The card says why: extraction masks their sound and picture, not their text.",
        ),
        finding("no-clip-folder", noticed.no_clip_folder, "Splits without a clip folder: text only."),
        finding(
            "still-packed",
            list(dict.fromkeys(noticed.still_packed)),
            "Archives that hold the clips: unpack them, and ingest again.",
        ),
    ]
    if not any_folder:
        return findings
    findings += [
        finding(
            "missing-clips", noticed.missing_clips, "Rows without their clip in the folder: media is null, text stays."
        ),
        finding("clips-without-rows", noticed.clips_without_rows, "Clips that no row annotates: not used."),
        finding(
            "apple-double", noticed.apple_double, "`._*` files, which macOS leaves in archives, are no clips: not used."
        ),
        finding(
            "final-videos",
            noticed.final_videos,
            "`final_videos_test*`: some say unlabelled files, some say better cuts of their plain twins: not used.",
        ),
        finding("other-files", noticed.other_files, "Other names in the clip folders: not used."),
    ]
    if probed:
        off = f"Clips more than {DURATION_TOLERANCE_S:g} s longer or shorter than annotated: used, with a note."
        findings += [
            finding("durations-differ", noticed.durations, off),
            finding(
                "unreadable-clips", noticed.unreadable, "Clips that do not open: extraction will record them as failed."
            ),
        ]
    return findings
