"""Rows are joined by id and by nothing else; what disagrees is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_factory import EMOTIONS, LABELS, dialogue_rnn, meld, vectors

from features.cards import DatasetCard
from features.errors import UsageError
from features.imports.foreign import SPLITS, Foreign
from features.imports.join import BY_WORDS, join
from features.imports.pickles import read_conversations
from features.imports.rule import Rule, row_names
from features.manifest import build_manifest, frame_of

MANIFEST = meld()
VALUES = vectors(MANIFEST)
FILE = Path("x.pkl")
TEXTS = MANIFEST.frame["text"].to_list()


def foreign(ids: list[str], **facts: object) -> Foreign:
    return Foreign("npy", None, ids, [np.full(3, place, np.float32) for place in range(len(ids))], **facts)


def shifted(values: list, by: int = 1) -> list:
    return values[-by:] + values[:-by]


def test_order_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(MANIFEST)).tolist()
    joined = join(foreign([MANIFEST.ids[row] for row in order]), MANIFEST)
    assert joined.places == {row: place for place, row in enumerate(order)}


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("{split}_dia{Dialogue_ID}_utt{Utterance_ID}", "train_dia0_utt5"),
        ("{val}-{Dialogue_ID:03d}-{Utterance_ID:02d}", "train-000-05"),
        ("{split}/{dialogue}/{position}", "train/dia0/3"),
        ("{dialogue_id}#{turn}", "meld/train/dia0#5"),
        ("{folder}:{stem}", "train:dia0_utt5"),
        ("{media}", "train_clips/dia0_utt5.mp4"),
    ],
)
def test_rules_name_columns_and_parts(rule: str, names: str) -> None:
    every = [Rule(rule).of(values) for values in row_names(MANIFEST)]
    assert every[3] == names
    assert len(set(every)) == len(MANIFEST)
    assert join(foreign([name for name in every if name]), MANIFEST, rule).places == {n: n for n in range(40)}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("dia{Dialogue_Id}", "no column 'Dialogue_Id': did you mean 'Dialogue_ID'"),
        ("plain", "names no column: Dialogue_ID, "),
        ("{key", "is no template"),
        ("{key!r}", "only names and widths"),
        ("{key.__class__}", "no column 'key.__class__'"),
        ("{key[0]}", "no column"),
        ("{key:>9999999999}", "only names and widths"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Rule(rule)


def test_ids_that_stand_twice_are_refused() -> None:
    ids = [*MANIFEST.ids[:-1], MANIFEST.ids[3]]
    with pytest.raises(UsageError, match="1 ids stand twice or more in it, first 'meld/train/dia0_utt5'"):
        join(foreign(ids), MANIFEST)


def test_two_ids_for_one_utterance_are_refused() -> None:
    manifest = build_manifest(
        frame_of([row | {"split": "train"} for row in MANIFEST.frame.filter(split="train").to_dicts()]),
        DatasetCard("meld", labels=LABELS),
    )
    keys = [name.rpartition("/")[2] for name in manifest.ids[:2]]
    splits = [SPLITS["train"], SPLITS["train"], SPLITS["test"]]
    with pytest.raises(UsageError, match="'dia0_utt0' and 'dia0_utt0' both fit meld/train/dia0_utt0"):
        join(foreign([*keys, keys[0]], splits=splits), manifest)


def test_a_rule_that_names_several_utterances_is_refused() -> None:
    keys = [name.rpartition("/")[2] for name in MANIFEST.ids[:4]]
    with pytest.raises(UsageError, match=r"'dia0_utt0' fits 3 utterances by --id '\{key\}', meld/train/dia0_utt0 and "):
        join(foreign(keys), MANIFEST, "{key}")
    with pytest.raises(
        UsageError, match="none of its 4 ids fits an utterance by a usual rule: the file has 'dia0_utt0'"
    ):
        join(foreign(keys), MANIFEST)


def test_ids_that_fit_nothing_are_told_with_the_nearest() -> None:
    ids = [f"{name}x" if place in (1, 2) else name for place, name in enumerate(MANIFEST.ids)]
    joined = join(foreign(ids), MANIFEST)
    assert joined.unfit == (ids[1], ids[2])
    assert len(joined.places) == 38
    assert joined.nearest == {ids[1]: MANIFEST.ids[1], ids[2]: MANIFEST.ids[2]}


class TestShifted:
    @pytest.mark.parametrize("by", [1, 3, -2])
    def test_against_texts(self, by: int) -> None:
        told = r"its text disagrees with the manifest's in 40 of 40 rows that {utterance_id} joins: the ids are shifted"
        with pytest.raises(UsageError, match=told):
            join(foreign(shifted(MANIFEST.ids, by), texts=TEXTS), MANIFEST)

    def test_against_labels_in_an_order_of_their_own(self) -> None:
        labels = [EMOTIONS[name] for name in MANIFEST.frame["label"]]
        agreeing = join(foreign(MANIFEST.ids, labels=labels), MANIFEST)
        assert [(check.what, check.compared, check.wrong) for check in agreeing.checks] == [("label", 40, ())]
        with pytest.raises(UsageError, match=r"its label disagrees with the manifest's in \d\d of 40 rows"):
            join(foreign(shifted(MANIFEST.ids), labels=labels), MANIFEST)
        with pytest.raises(UsageError, match="its label disagrees"):
            join(foreign(shifted(MANIFEST.ids), labels=MANIFEST.frame["label"].to_list()), MANIFEST)

    def test_against_splits(self) -> None:
        splits = [SPLITS[name] for name in MANIFEST.frame["split"]]
        assert join(foreign(MANIFEST.ids, splits=splits), MANIFEST).checks[0].wrong == ()
        with pytest.raises(UsageError, match="its split disagrees with the manifest's in 24 of 40 rows"):
            join(foreign(shifted(MANIFEST.ids, 8), splits=splits), MANIFEST)

    def test_a_part_that_is_shifted(self) -> None:
        ids = MANIFEST.ids[:32] + shifted(MANIFEST.ids[32:])
        with pytest.raises(UsageError, match="in 8 of 40 rows"):
            join(foreign(ids, texts=TEXTS), MANIFEST)

    def test_an_edited_text_is_told_and_kept(self) -> None:
        joined = join(foreign(MANIFEST.ids, texts=["Something else", *TEXTS[1:]]), MANIFEST)
        assert len(joined.places) == 40
        assert (joined.checks[0].wrong, joined.checks[0].refused) == ((0,), False)
        assert joined.checks[0].first.startswith("'meld/train/dia0_utt0' says 'Something else', ")

    def test_other_labels_or_splits_under_the_same_words_are_another_edition(self) -> None:
        splits = [SPLITS["train"]] * 40
        joined = join(foreign(MANIFEST.ids, texts=TEXTS, labels=shifted(TEXTS), splits=splits), MANIFEST)
        assert [(check.what, check.refused) for check in joined.checks] == [
            ("text", False),
            ("label", False),
            ("split", True),
        ]

    def test_how_words_are_written_does_not_count(self) -> None:
        written = [text.replace("’", "'").replace("“", '"').replace("”", '"').upper() + "  " for text in TEXTS]
        assert join(foreign(MANIFEST.ids, texts=written), MANIFEST).checks[0].wrong == ()


class TestDialogues:
    def test_sentences_that_were_shifted_against_their_vectors(self) -> None:
        parts = dialogue_rnn(MANIFEST, VALUES, shift=1)
        found = read_conversations(parts, None, "text", FILE)
        with pytest.raises(UsageError, match="none of its 40 ids fits an utterance"):
            join(found, MANIFEST)

    def test_dialogues_of_the_same_words_are_not_guessed(self) -> None:
        rows = MANIFEST.frame.to_dicts()
        for first, other in zip(rows[:4], rows[4:8], strict=True):
            other["text"] = first["text"]  # of train, both
        manifest = build_manifest(frame_of(rows), MANIFEST.card)
        found = read_conversations(dialogue_rnn(manifest, VALUES), None, "text", FILE)
        joined = join(found, manifest)
        assert joined.rule == BY_WORDS
        assert sorted(joined.places) == list(range(8, 40))
        assert joined.unfit == tuple(f"{dialogue}_{turn}" for dialogue in (0, 1) for turn in range(4))

    def test_another_order_of_dialogues_is_the_same_join(self) -> None:
        parts = dialogue_rnn(MANIFEST, VALUES)
        turned = tuple(dict(reversed(part.items())) if isinstance(part, dict) else part for part in parts)
        found = read_conversations(turned, None, "text", FILE)
        for row, place in join(found, MANIFEST).places.items():
            assert found.rows[place].tobytes() == VALUES[MANIFEST.ids[row]].tobytes()
