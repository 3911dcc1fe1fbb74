"""Extraction with small fake encoders: what is encoded, in which batches, and what the ledger says."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from clip_factory import write_clip
from store_factory import DialogueEncoder, HashEncoder, make_manifest, make_spec, text_vector

from features.cards import DatasetCard
from features.encoders.protocol import Input
from features.engines.clip_task import ClipReader, ClipTask
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.errors import Reason, UnavailableError, UsageError
from features.extract import extract_features, plan_extraction
from features.manifest import Manifest, build_manifest
from features.media.needs import ClipNeeds, FramesNeed
from features.store import Feature
from features.store.plan import PlanOptions


def extract(manifest: Manifest, root: Path, encoder: Any, **options: Any) -> Feature:
    extract_features(manifest, root, [encoder], PlanOptions(**options), decoding=DecodeOptions(workers=0))
    return Feature(root, encoder.spec.folder)


def with_texts(manifest: Manifest, texts: dict[int, str]) -> Manifest:
    changed = [texts.get(row, text) for row, text in enumerate(manifest.frame["text"])]
    return build_manifest(manifest.frame.with_columns(pl.Series("text", changed)), manifest.card, manifest.media_root)


def test_every_utterance_gets_its_own_embedding_or_a_reason(tmp_path: Path) -> None:
    manifest = with_texts(make_manifest(100), {9: "empty", 40: "not a number"})
    feature = extract(manifest, tmp_path, HashEncoder())
    rows = feature.read(manifest.ids)
    assert rows.reason[9] == "no-text"
    assert rows.status[9] == "missing"
    assert rows.reason[40] == "non-finite"
    assert rows.status[40] == "failed"
    for number in set(range(100)) - {9, 40}:
        np.testing.assert_array_equal(rows.values[number], text_vector(f"text {number}"))
    ledger = feature.ledger()
    assert ledger["utterance_id"].to_list() == manifest.ids
    assert ledger["num_tokens"][0] == len("text 0")
    assert ledger["input_digest"][0] == "digest of text 0"


def test_nothing_is_done_twice_and_an_edit_redoes_one(tmp_path: Path) -> None:
    manifest = make_manifest(100)
    extract(manifest, tmp_path, HashEncoder())
    again = HashEncoder()
    extract(manifest, tmp_path, again)
    assert again.batches == []
    edited = with_texts(manifest, {50: "edited"})
    feature = extract(edited, tmp_path, again)
    assert again.batches == [["edited"]]
    np.testing.assert_array_equal(feature.read([manifest.ids[50]]).values[0], text_vector("edited"))


def test_an_edit_redoes_the_later_turns_of_its_dialogue_for_an_encoder_of_dialogues(tmp_path: Path) -> None:
    manifest = make_manifest(21)
    extract(manifest, tmp_path, DialogueEncoder())
    edited = with_texts(manifest, {10: "edited"})
    jobs = plan_extraction(edited, tmp_path, [DialogueEncoder()], PlanOptions())
    assert [chunk.positions for chunk in jobs[0].plan.chunks] == [(10, 11, 12, 13)]
    feature = extract(edited, tmp_path, DialogueEncoder())
    texts = edited.frame["text"].to_list()
    for row in range(21):
        expected = text_vector(" / ".join(texts[row - row % 7 : row + 1]))
        np.testing.assert_array_equal(feature.read([edited.ids[row]]).values[0], expected)


def test_failed_rows_wait_for_retry_failed(tmp_path: Path) -> None:
    manifest = with_texts(make_manifest(40), {3: "not a number"})
    extract(manifest, tmp_path, HashEncoder())
    encoder = HashEncoder()
    extract(manifest, tmp_path, encoder)
    assert encoder.batches == []
    feature = extract(manifest, tmp_path, encoder, retry_failed=True)
    assert encoder.batches == [["not a number"]]
    assert [name.stem for name in feature.names] == ["00000", "00001", "00000.1"]


def test_limit_takes_the_first_that_are_left(tmp_path: Path) -> None:
    manifest = make_manifest(100)
    feature = extract(manifest, tmp_path, HashEncoder(), limit=10)
    assert feature.read(manifest.ids).present.tolist() == [True] * 10 + [False] * 90
    feature = extract(manifest, tmp_path, HashEncoder(), limit=30)
    assert feature.read(manifest.ids).present.tolist() == [True] * 40 + [False] * 60
    feature = extract(manifest, tmp_path, HashEncoder())
    values = feature.read(manifest.ids).values
    np.testing.assert_array_equal(values, np.stack([text_vector(f"text {number}") for number in range(100)]))


def test_slices_cover_the_work_once(tmp_path: Path) -> None:
    manifest = make_manifest(200)
    encoders = [HashEncoder() for _ in range(3)]
    for index, encoder in enumerate(encoders):
        extract(manifest, tmp_path, encoder, shard=(index + 1, 3))
    texts = [text for encoder in encoders for batch in encoder.batches for text in batch]
    assert sorted(texts) == sorted(manifest.frame["text"])
    assert Feature(tmp_path, make_spec().folder).read(manifest.ids).present.all()


def test_like_lengths_share_a_batch_and_batches_stay_in_their_chunk(tmp_path: Path) -> None:
    manifest = with_texts(make_manifest(70), {row: "x" * (row % 9 + 1) for row in range(70)})
    encoder = HashEncoder()
    extract(manifest, tmp_path, encoder)
    assert all(len(batch) <= encoder.batch_size for batch in encoder.batches)
    lengths = [[len(text) for text in batch] for batch in encoder.batches]
    first_chunk = list(itertools.chain.from_iterable(lengths[:9]))
    assert first_chunk == sorted(first_chunk)
    assert len(first_chunk) == 35


def test_one_encoder_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="asked for twice"):
        plan_extraction(make_manifest(3), tmp_path, [HashEncoder(), HashEncoder()], PlanOptions())


# Clips: the fake ones are text files, decoded by a fake `decode_clip`.


@dataclass
class FakeClip:
    text: str
    digest: str

    def outside_ms(self, needs: ClipNeeds) -> int:
        return 0


@dataclass(frozen=True)
class ClipPreparer:
    name: str

    def __call__(self, clip: FakeClip) -> Input:
        if clip.text == f"no {self.name}":
            raise UnavailableError(Reason.NO_AUDIO, "no such stream")
        if clip.text == "trap":
            raise ZeroDivisionError("a fault of the encoder")
        return Input(clip.text, 1, (clip.digest,), ({"num_samples": 1},))


class ClipEncoder:
    reads = "clip"
    batch_size = 3

    def __init__(self, name: str) -> None:
        self.spec = make_spec(modality="audio", encoder=name, depends="media")
        self.needs = ClipNeeds()
        self.prepare: Any = ClipPreparer(name)

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        return [text_vector(item.value) for item in inputs]


def fake_decode(path: Path, utterance: Any, needs: Any) -> FakeClip:
    from features.digests import sha256_file

    decoded.append(path.name)
    if not path.exists():
        raise UnavailableError(Reason.NO_FILE, path.name)
    return FakeClip(path.read_text(encoding="utf-8"), sha256_file(path))


decoded: list[str] = []


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setattr("features.engines.clip_task.decode_clip", fake_decode)
    decoded.clear()
    root = tmp_path / "media"
    root.mkdir()
    for number in range(10):
        (root / f"{number}.mp4").write_text(f"clip {number}")
    (root / "2.mp4").write_text("no one")
    (root / "3.mp4").unlink()
    (root / "4.mp4").write_text("trap")
    card = DatasetCard("toy", known_bad={"toy/train/dia0_utt5": "the wrong scene"})
    manifest = make_manifest(10, media=lambda number: f"{number}.mp4" if number != 6 else None, card=card)
    return replace(manifest, media_root=root)


def run_clips(manifest: Manifest, root: Path, **options: Any) -> list[Feature]:
    encoders = [ClipEncoder("one"), ClipEncoder("two")]
    extract_features(manifest, root, encoders, PlanOptions(**options), decoding=DecodeOptions(workers=0))
    return [Feature(root, encoder.spec.folder) for encoder in encoders]


def test_a_clip_is_decoded_once_for_all_and_each_trouble_costs_one_row(clips: Manifest, tmp_path: Path) -> None:
    one, two = run_clips(clips, tmp_path / "store")
    assert sorted(decoded) == [f"{number}.mp4" for number in (0, 1, 2, 3, 4, 7, 8, 9)]
    reasons = {2: "no-audio", 3: "no-file", 4: "unprepared", 5: "known-bad", 6: "no-media"}
    assert one.read(clips.ids).reason == [reasons.get(number) for number in range(10)]
    assert two.read(clips.ids).reason == [reasons.get(number) if number != 2 else None for number in range(10)]
    ledger = one.ledger()
    assert ledger["detail"][5] == "the wrong scene"
    assert ledger["detail"][4] == "ZeroDivisionError: a fault of the encoder"
    path = clips.media_path("0.mp4")
    assert ledger["media_size"][0] == path.stat().st_size
    assert ledger["media_mtime_ns"][0] == path.stat().st_mtime_ns


def test_only_changed_clips_are_read_again(clips: Manifest, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_clips(clips, store)
    decoded.clear()
    run_clips(clips, store)
    assert decoded == []
    touched = clips.media_path("0.mp4")
    os.utime(touched, ns=(time.time_ns(), touched.stat().st_mtime_ns + 10**9))  # the same bytes
    run_clips(clips, store)
    assert decoded == []
    clips.media_path("1.mp4").write_text("another clip")
    clips.media_path("3.mp4").write_text("clip 3")  # it was not there
    one, _ = run_clips(clips, store)
    assert decoded == ["1.mp4", "3.mp4"]
    assert one.read(clips.ids).status[3] == "ok"


def test_rehash_finds_a_change_that_size_and_mtime_hide(clips: Manifest, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_clips(clips, store)
    decoded.clear()
    path = clips.media_path("0.mp4")
    status = path.stat()
    path.write_text("clip 9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    run_clips(clips, store)
    assert decoded == []
    one, _ = run_clips(clips, store, rehash=True)
    assert decoded == ["0.mp4"]
    np.testing.assert_array_equal(one.read(clips.ids[:1]).values[0], text_vector("clip 9"))


def test_known_bad_clips_can_be_used_and_masked_again(clips: Manifest, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_clips(clips, store)
    one, _ = run_clips(clips, store, known_bad="use")
    assert one.read(clips.ids).status[5] == "ok"
    one, _ = run_clips(clips, store)
    assert one.read(clips.ids).reason[5] == "known-bad"


@dataclass(frozen=True)
class DeadlyPreparer:
    """Kills its own process on one clip."""

    def __call__(self, clip: Any) -> Input:
        if clip.utterance.utterance_id.endswith("_utt3"):
            os._exit(9)
        return Input(clip.utterance.utterance_id, 1, ("",), ({},))


def test_a_clip_that_kills_its_worker_costs_one_row(tmp_path: Path) -> None:

    write_clip(tmp_path / "clip.mp4", times_ms=[0, 100])
    manifest = make_manifest(7)
    readers = {"one": ClipReader(ClipNeeds(frames=FramesNeed(1, 30.0)), DeadlyPreparer())}
    tasks = [ClipTask(utterance, tmp_path / "clip.mp4", ("one",)) for utterance in manifest.utterances()]
    with DecodePool(readers, workers=2) as pool:
        results = list(pool.map(tasks))
    assert [result.task.utterance.utterance_id for result in results] == manifest.ids
    outcomes = [result.outcomes["one"] for result in results]
    assert [isinstance(outcome, Input) for outcome in outcomes] == [True] * 3 + [False] + [True] * 3
    assert isinstance(outcomes[3], UnavailableError)
    assert outcomes[3].reason is Reason.WORKER_DIED
