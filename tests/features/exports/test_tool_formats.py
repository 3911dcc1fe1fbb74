"""What each tool's format does with what it has no place for: sequences, missing vectors, labels, speakers, splits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_corpus import EMOTIONS, FACES, FRAMES, LAYERS, SOUND, TOKENS, WAVE, WORDS, Corpus, make_corpus
from tool_readers import read_conv_emotion, read_mertools, read_mmsa

from features.cards import DatasetCard
from features.errors import StaleFeaturesError, UsageError
from features.exports.export import Exported, export_for_tool, side_path
from features.exports.request import Request
from features.exports.sequences import fill_steps
from features.manifest import Manifest, build_manifest
from features.spec import EncoderSpec
from features.store import write_feature


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def export(
    corpus: Corpus, out: Path, file_format: str, *specs: EncoderSpec, manifest: Manifest | None = None, **given: Any
) -> Exported:
    request = Request(corpus.features(*specs), manifest or corpus.manifest, given.pop("length", None))
    return export_for_tool(request, out, file_format, **given)


def changed(corpus: Corpus, *columns: pl.Expr, card: DatasetCard | None = None) -> Manifest:
    return build_manifest(corpus.manifest.frame.with_columns(*columns), card or corpus.manifest.card)


def side_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(side_path(out).read_text(encoding="utf-8"))
    return found


class TestSteps:
    @given(st.integers(1, 40), st.integers(1, 12))
    def test_equal_parts(self, t: int, steps: int) -> None:
        frames = np.random.default_rng(t).standard_normal((t, 3)).astype(np.float32)
        out = np.zeros((steps, 3), np.float32)
        assert fill_steps(frames, out) == min(t, steps)
        if t <= steps:
            assert out[:t].tobytes() == frames.tobytes()
            assert not out[t:].any()
        else:
            for step in range(steps):
                part = frames[step * t // steps : (step + 1) * t // steps].astype(np.float64)
                np.testing.assert_allclose(out[step], part.mean(axis=0), rtol=1e-6, atol=1e-7)

    def test_mmsa_averages_what_is_longer_than_its_length(self, corpus: Corpus, tmp_path: Path) -> None:
        export(corpus, tmp_path / "out", "mmsa", TOKENS, FRAMES, FACES, length=4)
        seen = read_mmsa(tmp_path / "out")
        longer = 0
        for key, stored in corpus.made[FRAMES.encoder].items():
            found = seen[key].values["audio"]
            assert len(found) == min(4, len(stored))
            if len(stored) > 4:
                longer += 1
                ends = [round(len(stored) * part / 4 - 0.499) for part in range(5)]
                for step in range(4):
                    mean = stored[ends[step] : ends[step + 1]].mean(axis=0)
                    np.testing.assert_allclose(found[step], mean, rtol=1e-5, atol=1e-6)
            else:
                assert found.tobytes() == stored.tobytes()
        assert longer > 5

    def test_a_vector_is_one_step_of_as_many_as_are_asked_for(self, corpus: Corpus, tmp_path: Path) -> None:
        import pickle

        for length, t, v in ((None, 50, 1), (7, 7, 7)):
            out = tmp_path / f"{length}"
            export(corpus, out, "mmsa", TOKENS, FACES, length=length)
            part = pickle.loads(out.read_bytes())["train"]
            assert (part["text"].shape[1:], part["vision"].shape[1:]) == ((t, 4), (v, 2))
            assert set(part["vision_lengths"]) == {1}
            assert not part["vision"][:, 1:].any()


class TestWhatIsMissing:
    @pytest.mark.parametrize("file_format", ["mmsa", "mertools", "conv-emotion", "hf"])
    def test_it_is_told(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        done = export(corpus, tmp_path / "out", file_format, WORDS, SOUND)
        expected = {(spec.encoder, key) for spec in (WORDS, SOUND) for key in corpus.manifest.ids} - {
            (spec.encoder, key) for spec in (WORDS, SOUND) for key in corpus.made[spec.encoder]
        }
        assert len(expected) > 2
        side = side_of(tmp_path / "out")
        found = {
            (item["feature"].partition("/")[2].partition("@")[0], item["utterance_id"], item["status"], item["reason"])
            for item in side["missing"]
        }
        assert found == {(*item, "missing", "no-text") for item in expected}
        assert sum(side["missing_counts"].values()) == len(done.written.missing) == len(expected)

    def test_what_was_never_extracted_is_absent(self, tmp_path: Path) -> None:
        corpus = make_corpus(tmp_path, specs=(WORDS,))
        extra = corpus.manifest.frame.with_columns(pl.col("utterance_id") + "x", pl.col("dialogue_id") + "x")
        manifest = build_manifest(pl.concat([corpus.manifest.frame, extra]), corpus.manifest.card)
        export(corpus, tmp_path / "out", "conv-emotion", WORDS, manifest=manifest)
        states = [item["status"] for item in side_of(tmp_path / "out")["missing"]]
        assert states.count("absent") == len(corpus.manifest)

    def test_a_modality_that_was_not_given(self, corpus: Corpus, tmp_path: Path) -> None:
        done = export(corpus, tmp_path / "out", "mmsa", WORDS)
        assert done.written.notes == [
            "no audio feature was given: audio is zeros",
            "no visual feature was given: vision is zeros",
        ]
        assert side_of(tmp_path / "out")["places"]["features"]["vision"] is None
        assert all(found.values["audio"].tolist() == [[0.0]] for found in read_mmsa(tmp_path / "out").values())

    def test_a_sequence_of_no_steps(self, tmp_path: Path) -> None:
        corpus = make_corpus(tmp_path, specs=())
        made = {key: np.ones((number % 3, 4), np.float32) for number, key in enumerate(corpus.manifest.ids)}
        write_feature(tmp_path / "store", TOKENS, corpus.manifest, made)
        for file_format in ("mmsa", "mertools"):
            export(corpus, tmp_path / file_format, file_format, TOKENS)
            missing = side_of(tmp_path / file_format)["missing"]
            assert [item["utterance_id"] for item in missing] == corpus.manifest.ids[::3]
            assert {(item["status"], item["reason"]) for item in missing} == {("ok", "no-steps")}
        found = read_mertools(tmp_path / "mertools")
        assert found[corpus.manifest.ids[0]].values["text_tokens-FRA"].tolist() == [[0.0] * 4]
        assert read_mmsa(tmp_path / "mmsa")[corpus.manifest.ids[0]].values["text"].tolist() == [[0.0] * 4]


class TestLabels:
    def test_mmsa_leaves_out_what_has_no_sentiment(self, corpus: Corpus, tmp_path: Path) -> None:
        without = corpus.manifest.ids[2]
        sentiment = pl.when(pl.col("utterance_id") == without).then(None).otherwise(pl.col("sentiment"))
        manifest = changed(corpus, sentiment.alias("sentiment"))
        done = export(corpus, tmp_path / "out", "mmsa", WORDS, manifest=manifest)
        assert done.written.left_out == {without: "no-sentiment"}
        seen = read_mmsa(tmp_path / "out")
        assert list(seen.keys() ^ set(corpus.manifest.ids)) == [without]
        for key, found in seen.items():
            assert found.told["text"] == corpus.row(key)["text"]
            if key in corpus.made["sentence"]:
                assert found.values["text"].tobytes() == corpus.made["sentence"][key].tobytes()

    def test_annotated_scores_of_mosei(self, corpus: Corpus, tmp_path: Path) -> None:
        """As `erc ingest mosei` notes them; of another corpus a note is only a note."""
        notes = pl.lit("score -1.33333; no file Raw/a.mp4").alias("note")
        for dataset, expected in (("mosei", {-1.33333}), ("toy", {-1.0, 0.0, 1.0})):
            manifest = changed(corpus, pl.lit(dataset).alias("dataset"), notes)
            export(corpus, tmp_path / dataset, "mmsa", WORDS, manifest=manifest)
            found = {round(seen.told["score"], 5) for seen in read_mmsa(tmp_path / dataset).values()}
            assert found == expected

    def test_no_sentiment_at_all(self, corpus: Corpus, tmp_path: Path) -> None:
        nothing = pl.lit(None, pl.String()).alias("sentiment")
        with pytest.raises(UsageError, match="mmsa needs a sentiment, and no utterance has one"):
            export(corpus, tmp_path / "out", "mmsa", WORDS, manifest=changed(corpus, nothing))
        with_label = pl.when(pl.col("split") == "dev").then(None).otherwise(pl.col("sentiment")).alias("sentiment")
        with pytest.raises(UsageError, match="no utterance of valid has one"):
            export(corpus, tmp_path / "out", "mmsa", WORDS, manifest=changed(corpus, with_label))
        export(corpus, tmp_path / "out", "conv-emotion", WORDS, manifest=changed(corpus, nothing))
        assert {seen.told["label"] for seen in read_conv_emotion(tmp_path / "out", 3).values()} == {-100}

    def test_mertools_takes_the_card_s_order_for_other_labels(self, corpus: Corpus, tmp_path: Path) -> None:
        labels = ("happy", "angry", "calm")
        label = pl.Series("label", [labels[number % 3] if number else None for number in range(len(corpus.manifest))])
        card = DatasetCard("toy", labels=labels)
        manifest = build_manifest(corpus.manifest.frame.with_columns(label), card)
        done = export(corpus, tmp_path / "out", "mertools", WORDS, manifest=manifest)
        assert done.written.left_out == {corpus.manifest.ids[0]: "no-label"}
        assert side_of(tmp_path / "out")["places"]["emo"] == list(labels)
        told = dict(manifest.frame.select("utterance_id", "label").iter_rows())
        seen = read_mertools(tmp_path / "out")
        assert len(seen) == len(corpus.manifest) - 1
        assert all(labels[found.told["emo"]] == told[key] for key, found in seen.items())

    def test_mertools_for_a_corpus_of_sentiments_alone(self, corpus: Corpus, tmp_path: Path) -> None:
        manifest = changed(corpus, pl.lit(None, pl.String()).alias("label"))
        export(corpus, tmp_path / "out", "mertools", WORDS, manifest=manifest)
        seen = read_mertools(tmp_path / "out")
        assert len(seen) == len(corpus.manifest)
        assert {found.told["emo"] for found in seen.values()} == {0}
        assert {found.told["val"] for found in seen.values()} == {-1.0, 0.0, 1.0}

    def test_conv_emotion_has_the_labels_of_meld_and_one_for_each_turn(self, corpus: Corpus, tmp_path: Path) -> None:
        for label, message in (("bored", "the manifest has 'bored'"), (None, "1 have none, first toy/test/dia0_utt")):
            first = pl.when(pl.col("utterance_id") == corpus.manifest.ids[0]).then(pl.lit(label, pl.String()))
            card = replace(corpus.manifest.card, labels=(*EMOTIONS, "bored"))
            manifest = changed(corpus, first.otherwise(pl.col("label")).alias("label"), card=card)
            with pytest.raises(UsageError, match=message):
                export(corpus, tmp_path / "out", "conv-emotion", WORDS, manifest=manifest)
        assert not (tmp_path / "out").exists()


class TestConvEmotion:
    def test_dev_stands_first_so_that_the_script_cuts_it(self, corpus: Corpus, tmp_path: Path) -> None:
        import pickle

        export(corpus, tmp_path / "out", "conv-emotion", WORDS, SOUND)
        train = pickle.loads((tmp_path / "out").read_bytes())[6]
        cut = int(side_of(tmp_path / "out")["places"]["valid"] * len(train))  # get_train_valid_sampler of its script
        assert [key.split("/")[1] for key in train] == ["dev"] * cut + ["train"] * (len(train) - cut)
        assert cut == 2

    @pytest.mark.parametrize("dialogues", range(1, 60))
    def test_the_fraction_is_exact_for_any_numbers(self, dialogues: int) -> None:
        for dev in range(1, dialogues):
            assert int(round((dev + 0.5) / dialogues, 6) * dialogues) == dev

    def test_speakers_are_numbered_within_their_dialogue(self, corpus: Corpus, tmp_path: Path) -> None:
        done = export(corpus, tmp_path / "out", "conv-emotion", WORDS)
        seen = read_conv_emotion(tmp_path / "out")
        for dialogue in corpus.manifest.dialogues():
            numbers: dict[str, int] = {}
            for place, turn in enumerate(dialogue.utterances):
                who = f"stranger {place}" if turn.speaker == "unknown" else turn.speaker
                assert seen[turn.utterance_id].told["speaker"] == numbers.setdefault(who, len(numbers))
        assert done.written.facts["speaker_places"] == 9

    def test_more_than_nine_speakers_are_told(self, corpus: Corpus, tmp_path: Path) -> None:
        each = pl.int_range(pl.len())
        manifest = changed(
            corpus,
            pl.format("speaker {}", each).alias("speaker"),
            pl.format("toy/{}/one", "split").alias("dialogue_id"),
            each.alias("turn"),
        )
        most = max(manifest.frame["split"].to_list().count(name) for name in ("train", "dev", "test"))
        done = export(corpus, tmp_path / "out", "conv-emotion", WORDS, manifest=manifest)
        assert len(done.written.notes) == 2
        told = f"a dialogue has {most} speakers: one-hot of {most}, where MELD's has 9"
        assert told in done.written.notes
        assert most > 9
        assert len({found.told["speaker"] for found in read_conv_emotion(tmp_path / "out").values()}) == most


class TestRefusals:
    @pytest.mark.parametrize(
        ("file_format", "specs", "message"),
        [
            (
                "mmsa",
                (WORDS, LAYERS),
                "one text feature, and text/sentence@.* and text/layers@.* were given: choose one",
            ),
            (
                "conv-emotion",
                (WORDS, FACES),
                "visual/hog-colour@.*: DialogueRNN's pickle of MELD has text and audio alone",
            ),
            ("conv-emotion", (TOKENS,), "text/tokens@.* is a sequence: conv-emotion has one vector an utterance"),
            ("mertools", (WAVE,), "audio/waveform@.* has one number a step"),
            ("hf", (WORDS, WORDS), "text/sentence@.* is given twice"),
            ("hf", (), "no feature: give --feature"),
        ],
    )
    def test_what_a_tool_cannot_hold(
        self, corpus: Corpus, tmp_path: Path, file_format: str, specs: tuple[EncoderSpec, ...], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            export(corpus, tmp_path / "out", file_format, *specs)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("file_format", ["mmsa", "mertools", "conv-emotion"])
    def test_splits(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        other = pl.col("split").replace("dev", "session5")
        with pytest.raises(
            UsageError, match=rf"{file_format} has no place for the split 'session5': name splits train"
        ):
            export(corpus, tmp_path / "out", file_format, WORDS, manifest=changed(corpus, other))
        two = corpus.manifest.select_splits(["train", "test"])
        with pytest.raises(
            UsageError, match=rf"{file_format} needs train, dev, test, .* test, train alone: it lacks dev"
        ):
            export(corpus, tmp_path / "out", file_format, WORDS, manifest=two)

    def test_datasets_takes_any_names_of_splits(self, corpus: Corpus, tmp_path: Path) -> None:
        import datasets

        names = {"dev": "session_5", "test": "fold.3"}
        manifest = changed(corpus, pl.col("split").replace(names))
        export(corpus, tmp_path / "out", "hf", WORDS, manifest=manifest)
        for _ in range(2):
            loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
            assert {name: len(part) for name, part in loaded.items()} == {
                name: manifest.frame["split"].to_list().count(name) for name in ("train", "session_5", "fold.3")
            }
            (tmp_path / "out" / "README.md").unlink(missing_ok=True)  # the names of the files alone tell them, too
        for name in ("all", "a-b", ""):
            bad = Manifest(corpus.manifest.frame.with_columns(split=pl.lit(name)), corpus.manifest.card)
            with pytest.raises(UsageError, match=f"datasets allows no split '{name}'"):
                export(corpus, tmp_path / "bad", "hf", WORDS, manifest=bad)

    @pytest.mark.parametrize("file_format", ["mmsa", "mertools", "conv-emotion", "hf"])
    def test_stale_rows(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        edited = pl.when(pl.col("turn") == 0).then(pl.lit("edited")).otherwise(pl.col("text")).alias("text")
        manifest = changed(corpus, edited)
        with pytest.raises(StaleFeaturesError, match="rows were made from other input"):
            export(corpus, tmp_path / "out", file_format, WORDS, manifest=manifest)
        export(corpus, tmp_path / "out", file_format, WORDS, manifest=manifest, allow_stale=True)

    def test_elements_with_flags(self, corpus: Corpus, tmp_path: Path) -> None:
        feature = corpus.feature(TOKENS)
        feature.spec = replace(TOKENS, settings={"from_top": 2})
        for file_format in ("mmsa", "mertools", "conv-emotion", "hf"):
            with pytest.raises(UsageError, match="has from_top: its elements end in flags"):
                export_for_tool(Request((feature,), corpus.manifest), tmp_path / "out", file_format)


class TestMERToolsNames:
    def names(self, corpus: Corpus, ids: dict[str, str]) -> Manifest:
        return changed(corpus, pl.col("utterance_id").replace(ids))

    def test_ids_that_are_no_file_names(self, corpus: Corpus, tmp_path: Path) -> None:
        first, second, third = corpus.manifest.ids[:3]
        odd = {first: "toy/test/..", second: "toy/test/a b:c?" + "\u00e9" * 200, third: "elsewhere/clip 1"}
        manifest = self.names(corpus, odd)
        export(corpus, tmp_path / "out", "mertools", WORDS, manifest=manifest)
        seen = read_mertools(tmp_path / "out")
        assert seen.keys() == set(manifest.ids)
        files = {path.stem for path in (tmp_path / "out" / "features" / "text_sentence-UTT").iterdir()}
        assert files == {found.told["name"] for found in seen.values()}
        assert all(len(f"{name}.npy".encode()) < 255 for name in files)

    def test_two_ids_of_one_name(self, corpus: Corpus, tmp_path: Path) -> None:
        first, second = corpus.manifest.ids[:2]
        manifest = self.names(corpus, {first: "toy/test/a/b", second: "toy/test/A_b"})
        with pytest.raises(UsageError, match=r"would name both 'toy/test/a/b' and 'toy/test/A_b' test_A_b\.npy"):
            export(corpus, tmp_path / "out", "mertools", WORDS, manifest=manifest)
