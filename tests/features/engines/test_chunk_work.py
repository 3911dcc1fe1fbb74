"""How the engine batches, derives one feature from another, and backs off where memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_factory import DialogueEncoder, DialoguePreparer, HashEncoder, make_manifest, make_spec, text_vector

from features.encoders.for_store import take_stored_name
from features.encoders.protocol import Input
from features.engines.chunk_work import ChunkWork
from features.engines.decode_pool import DecodeOptions
from features.engines.encode_queue import EncodeQueue
from features.engines.job import Job
from features.errors import EncoderError, Reason, UnavailableError
from features.extract import extract_features, plan_extraction
from features.manifest import Manifest
from features.media.needs import ClipNeeds
from features.store import Feature
from features.store.plan import PlanOptions
from features.utterances import Dialogue


def run(manifest: Manifest, root: Path, *encoders: Any, workers: int = 0, **options: Any) -> list[Job]:
    jobs = extract_features(manifest, root, encoders, PlanOptions(**options), decoding=DecodeOptions(workers=workers))
    return jobs


class SmallMemory(HashEncoder):
    """Has room for three texts of the usual length, and for no long one."""

    batch_size = 16

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        if len(inputs) > 3 or max(item.length for item in inputs) > 20:
            self.batches.append(["refused"] * len(inputs))
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return super().encode(inputs)


def test_where_memory_runs_out_batches_are_halved_and_stay_so(tmp_path: Path) -> None:
    manifest = make_manifest(64)
    encoder = SmallMemory()
    (job,) = run(manifest, tmp_path, encoder)
    refused = [len(batch) for batch in encoder.batches if batch[0] == "refused"]
    assert refused == [16, 8, 4]
    assert job.batch_size == 2
    values = Feature(tmp_path, encoder.spec.folder).read(manifest.ids).values
    np.testing.assert_array_equal(values, np.stack([text_vector(f"text {number}") for number in range(64)]))


def test_an_input_too_large_even_alone_is_a_failed_row(tmp_path: Path) -> None:
    manifest = make_manifest(8, text=lambda number: "long " * 9 if number == 5 else f"text {number}")
    run(manifest, tmp_path, SmallMemory())
    rows = Feature(tmp_path, make_spec().folder).read(manifest.ids)
    assert rows.reason == [None] * 5 + ["out-of-memory"] + [None] * 2
    assert rows.status[5] == "failed"


def test_a_group_stops_after_its_batch_where_the_run_is_ending(tmp_path: Path) -> None:
    manifest = make_manifest(12)
    encoder = HashEncoder()
    (job,) = plan_extraction(manifest, tmp_path, [encoder], PlanOptions())
    queue = EncodeQueue(threaded=False)

    def advance(count: int) -> None:
        queue.stopping.set()

    work = ChunkWork(manifest, job, job.plan.chunks[0], queue, advance)
    work.add_texts()
    work.encode_waiting()
    assert [len(batch) for batch in encoder.batches] == [encoder.batch_size]
    assert len(work.rows) == encoder.batch_size


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal\nmemory access"), IndexError("out of range")])
def test_another_error_of_the_encoder_ends_the_run_and_says_where(tmp_path: Path, error: Exception) -> None:
    """After an error of CUDA no batch can be encoded any more: nothing is tried again, and what is committed stands."""

    class Broken(HashEncoder):
        def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
            if any(item.value == "text 50" for item in inputs):
                raise error
            return super().encode(inputs)

    manifest = make_manifest(70)
    with pytest.raises(EncoderError, match="its encoder failed on ") as caught:
        run(manifest, tmp_path, Broken())
    message = str(caught.value)
    assert message.startswith(f"{make_spec().folder}: ")
    assert manifest.ids[50] in message
    assert f"{type(error).__name__}: {' '.join(str(error).split())}" in message
    assert "\n" not in message
    assert caught.value.__cause__ is error
    feature = Feature(tmp_path, make_spec().folder)
    assert feature.read(manifest.ids).present.tolist() == [True] * 35 + [False] * 35
    encoder = HashEncoder()
    run(manifest, tmp_path, encoder)
    assert sum(map(len, encoder.batches)) == 35


def test_a_long_batch_is_not_named_in_full(tmp_path: Path) -> None:
    class Broken(HashEncoder):
        batch_size = 30

        def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(EncoderError, match=r"_utt\d and 22 more: RuntimeError: mat1 and mat2 shapes cannot"):
        run(make_manifest(30), tmp_path, Broken())


def test_memory_that_runs_out_while_a_clip_is_prepared_costs_one_row(tmp_path: Path) -> None:
    class Large:
        def __call__(self, turn: Any) -> Input:
            if turn.utterance.text == "text 4":
                raise MemoryError("Unable to allocate 9 GiB")
            return HashEncoder.prepare(turn)

    encoder = HashEncoder()
    encoder.prepare = Large()
    manifest = make_manifest(7)
    run(manifest, tmp_path, encoder)
    rows = Feature(tmp_path, encoder.spec.folder).read(manifest.ids)
    assert rows.reason == [None] * 4 + ["out-of-memory"] + [None] * 2


def test_a_turn_of_a_dialogue_can_have_a_reason_of_its_own(tmp_path: Path) -> None:
    class Blank(DialoguePreparer):
        def __call__(self, dialogue: Dialogue) -> Input:
            errors = tuple(
                UnavailableError(Reason.NO_TEXT, "blank") if utterance.text == "text 2" else None
                for utterance in dialogue.utterances
            )
            return replace(super().__call__(dialogue), unavailable=errors)

    encoder = DialogueEncoder()
    encoder.prepare = Blank()
    manifest = make_manifest(14)
    run(manifest, tmp_path, encoder)
    rows = Feature(tmp_path, encoder.spec.folder).read(manifest.ids)
    assert rows.reason == [None, None, "no-text"] + [None] * 11
    np.testing.assert_array_equal(rows.values[3], text_vector("text 0 / text 1 / text 2 / text 3"))


def test_a_fault_of_prepare_costs_its_own_rows(tmp_path: Path) -> None:
    class Faulty:
        def __call__(self, turn: Any) -> Input:
            if turn.utterance.text == "text 4":
                raise ZeroDivisionError("a fault")
            return HashEncoder.prepare(turn)

    encoder = HashEncoder()
    encoder.prepare = Faulty()
    manifest = make_manifest(7)
    run(manifest, tmp_path, encoder)
    rows = Feature(tmp_path, encoder.spec.folder).read(manifest.ids)
    assert rows.reason == [None] * 4 + ["unprepared"] + [None] * 2


# A feature that derives from another: the source counts the letters of a clip, the derived one multiplies them.


class Reader:
    def __call__(self, clip: Any) -> Input:
        return Input(clip.utterance.text, 1, ("",), ({},))


class Letters:
    """One row [1] per letter of the text: its code. The text `none` has an empty sequence, `broken` gives NaN."""

    reads = "clip"
    batch_size = 2
    needs = ClipNeeds()
    prepare: Any = Reader()

    def __init__(self) -> None:
        self.spec = make_spec(modality="visual", encoder="faces", depends="media", kind="sequence", shape=(1,))
        self.encoded: list[str] = []

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.encoded += [item.value for item in inputs]
        return [letters(item.value) for item in inputs]


def letters(text: str) -> np.ndarray:
    if text == "broken":
        return np.full((1, 1), np.nan, np.float32)
    return np.array([[ord(letter)] for letter in text if text != "none"], np.float32).reshape(-1, 1)


class LetterSum(Letters):
    def __init__(self, source: Letters) -> None:
        self.spec = make_spec(
            modality="visual", encoder="sum", depends="media", shape=(1,), derives_from=source.spec.fingerprint
        )
        self.encoded = []

    def derive(self, item: Input, stored: np.ndarray) -> Input:
        if not len(stored):
            raise UnavailableError(Reason.NO_FACE, "no letter")
        np.testing.assert_array_equal(stored, letters(item.value))
        return replace(item, value=(item.value, stored))

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.encoded += [item.value[0] for item in inputs]
        return [item.value[1].sum(axis=0) for item in inputs]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    def decode(path: Path, utterance: Any, needs: Any) -> Any:
        return type("FakeClip", (), {"utterance": utterance, "digest": "0", "outside_ms": lambda self, needs: 0})()

    monkeypatch.setattr("features.engines.clip_task.decode_clip", decode)
    (tmp_path / "clip").write_text("clip")
    texts = {3: "none", 4: "broken"}
    manifest = make_manifest(80, media="clip", text=lambda number: texts.get(number, f"text {number}"))
    return replace(manifest, media_root=tmp_path)


def check_sums(manifest: Manifest, root: Path, derived: LetterSum, count: int = 80) -> None:
    rows = Feature(root, derived.spec.folder).read(manifest.ids[:count])
    assert rows.reason == [None] * 3 + ["no-face", "non-finite"] + [None] * (count - 5)
    for number, value in enumerate(rows.values[5:], start=5):
        assert value[0] == letters(f"text {number}").sum()


@pytest.mark.parametrize("source_first", [True, False])
def test_a_feature_derives_from_what_the_same_run_made(corpus: Manifest, tmp_path: Path, source_first: bool) -> None:
    source = Letters()
    derived = LetterSum(source)
    run(corpus, tmp_path / "s", *((source, derived) if source_first else (derived, source)))
    check_sums(corpus, tmp_path / "s", derived)
    assert Feature(tmp_path / "s", source.spec.folder).reasons(corpus.ids[3:6]) == [None, "non-finite", None]


def test_a_feature_derives_from_what_is_stored_already(corpus: Manifest, tmp_path: Path) -> None:
    source = Letters()
    run(corpus, tmp_path / "s", source, limit=50)
    source.encoded.clear()
    derived = LetterSum(source)
    run(corpus, tmp_path / "s", source, derived)
    assert len(source.encoded) == 30
    check_sums(corpus, tmp_path / "s", derived)
    again = LetterSum(source)
    run(corpus, tmp_path / "s", source, again)
    assert again.encoded == []


def test_a_limit_reaches_source_and_derived_alike(corpus: Manifest, tmp_path: Path) -> None:
    source = Letters()
    derived = LetterSum(source)
    run(corpus, tmp_path / "s", source, limit=10)
    run(corpus, tmp_path / "s", source, derived, limit=20)
    check_sums(corpus, tmp_path / "s", derived, count=20)


def test_a_source_that_nobody_asked_for_does_no_more_than_is_needed(corpus: Manifest, tmp_path: Path) -> None:
    source = Letters()
    derived = LetterSum(source)
    for limit, expected in ((20, 20), (None, 60)):
        source.encoded.clear()
        implied = {source.spec.folder}
        extract_features(
            corpus,
            tmp_path / "s",
            [source, derived],
            PlanOptions(limit=limit),
            implied=implied,
            decoding=DecodeOptions(workers=0),
        )
        assert len(source.encoded) == expected
    variant = LetterSum(source)
    variant.spec = replace(variant.spec, version=2)
    source.encoded.clear()
    extract_features(
        corpus,
        tmp_path / "s",
        [source, variant],
        PlanOptions(limit=20),
        implied=implied,
        decoding=DecodeOptions(workers=0),
    )
    assert source.encoded == []
    check_sums(corpus, tmp_path / "s", variant, count=20)


def test_a_source_that_is_stored_under_an_alias_is_found(corpus: Manifest, tmp_path: Path) -> None:
    named = Letters()
    named.spec = replace(named.spec, alias="letters-of-mine")
    run(corpus, tmp_path / "s", named)
    source = Letters()
    take_stored_name(source, tmp_path / "s")
    assert source.spec.folder == named.spec.folder
    derived = LetterSum(source)
    run(corpus, tmp_path / "s", source, derived)
    assert source.encoded == []
    check_sums(corpus, tmp_path / "s", derived)
    other = Letters()
    other.spec = replace(other.spec, version=2)
    take_stored_name(other, tmp_path / "s")
    assert other.spec.alias is None
