"""What `erc explore embeddings` computes: the sample, the vectors, projections and probes, by scikit-learn's word."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from explore_factory import LABELS, SPLITS, WIDTH, make_corpus, store_feature, vectors
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from store_factory import make_manifest as store_manifest
from tiny_top import sequences, tiny_top, top_spec

from features.errors import FeatureChoiceError, ManifestError, StaleFeaturesError, StoreError, UsageError
from features.extras import install_extra
from features.manifest import Manifest
from features.spec import MODALITIES
from features.store import Feature, Store, write_feature
from pipeline.explore import probe, projection
from pipeline.explore.colours import GREY, PALETTE, SPEAKERS, Group, colour_groups
from pipeline.explore.embeddings import FeatureLook, Settings, look_at, readable_utterances
from pipeline.explore.sampling import balanced_sample, fewer_than, train_subset
from pipeline.explore.scatter import LAYERS, layers
from pipeline.explore.vectors import choose, form_of, present, read_vectors, width_of


@pytest.fixture
def manifest() -> Manifest:
    return make_corpus()


def look(feature: Feature, manifest: Manifest, settings: Settings | None = None) -> FeatureLook:
    return look_at(feature, manifest, readable_utterances(manifest), settings or Settings(per_class=20))


def rows_of(manifest: Manifest, values: dict[str, np.ndarray], split: str) -> tuple[np.ndarray, np.ndarray]:
    """(values, places of labels) of a split, by plain loops."""
    rows = [row for row in manifest.utterances() if row.split == split and row.utterance_id in values]
    return (
        np.stack([values[row.utterance_id].ravel() for row in rows]),
        np.array([LABELS.index(str(row.label)) for row in rows]),
    )


class TestSample:
    labels = np.array([0] * 30 + [1] * 9 + [2] * 50 + [-1] * 20)

    def test_as_many_of_each_class_and_no_unlabelled_row(self) -> None:
        everything = np.ones(len(self.labels), bool)
        sample = balanced_sample(self.labels, everything, 12, 0, 4)
        assert np.bincount(self.labels[sample]).tolist() == [12, 9, 12]
        assert (np.diff(sample) > 0).all()
        assert fewer_than(self.labels, sample, 12, ("a", "b", "c", "d")) == {"b": 9, "d": 0}

    def test_the_seed_decides(self) -> None:
        everything = np.ones(len(self.labels), bool)
        first, again, other = (balanced_sample(self.labels, everything, 12, seed, 3) for seed in (0, 0, 1))
        assert first.tolist() == again.tolist()
        assert first.tolist() != other.tolist()

    def test_a_missing_row_is_replaced_and_the_others_stay(self) -> None:
        there = np.ones(len(self.labels), bool)
        before = balanced_sample(self.labels, there, 12, 0, 3)
        there[before[3]] = False
        after = balanced_sample(self.labels, there, 12, 0, 3)
        assert before[3] not in after
        assert len(set(before) & set(after)) == len(before) - 1
        assert len(after) == len(before)

    def test_a_subset_of_train(self) -> None:
        train = np.arange(len(self.labels)) % 2 == 0
        all_of_it = train_subset(self.labels, train, 1000, 0)
        assert all_of_it.tolist() == [row for row in range(0, len(self.labels), 2) if self.labels[row] >= 0]
        some = train_subset(self.labels, train, 10, 0)
        assert len(set(some)) == 10
        assert set(some) < set(all_of_it)


class TestVectors:
    def test_a_stack_is_laid_end_to_end(self, tmp_path: Path, manifest: Manifest) -> None:
        values = vectors(manifest, (3, WIDTH))
        feature = store_feature(tmp_path, manifest, values, kind="stack", shape=(3, WIDTH))
        ids = manifest.ids[::-7]
        np.testing.assert_array_equal(read_vectors(feature, ids), [values[name].ravel() for name in ids])

    def test_a_sequence_becomes_its_mean(self, tmp_path: Path, manifest: Manifest) -> None:
        random = np.random.default_rng(0)
        values = {
            name: random.normal(size=(1 + place % 5, WIDTH)).astype(np.float32)
            for place, name in enumerate(manifest.ids)
        }
        feature = store_feature(tmp_path, manifest, values, kind="sequence")
        ids = manifest.ids[::-1]
        np.testing.assert_allclose(read_vectors(feature, ids), [values[name].mean(axis=0) for name in ids], rtol=1e-5)

    def test_of_states_below_a_top_the_pooled_ones_count_without_their_flags(self, tmp_path: Path) -> None:
        manifest, top = store_manifest(30), tiny_top()
        spec = top_spec(top)
        made = sequences(manifest, spec)
        for elements in made.values():
            elements[:, -2:] = 0
            elements[-1, -2] = 1
        feature = write_feature(tmp_path, spec, manifest, made, top=top)
        expected = [made[name][-1, :-2].astype(np.float16) for name in manifest.ids]
        np.testing.assert_array_equal(read_vectors(feature, manifest.ids), expected)
        assert width_of(feature) == spec.shape[0] - 2
        assert form_of(feature) == "mean over the pooled states below the last 1 layers"

    def test_what_is_missing_is_counted_by_reason(self, tmp_path: Path, manifest: Manifest) -> None:
        feature = store_feature(tmp_path, manifest, missing=tuple(manifest.ids[:4]))
        there, reasons = present(feature, [*manifest.ids[2:10], "toy/train/never"])
        assert there.tolist() == [False] * 2 + [True] * 6 + [False]
        assert reasons == {"no-media": 2, "absent": 1}


class TestChoice:
    @pytest.fixture
    def store(self, tmp_path: Path, manifest: Manifest) -> Store:
        store_feature(tmp_path, manifest, encoder="sentence")
        store_feature(tmp_path, manifest, modality="audio", encoder="logmel")
        samples = {name: np.ones((4, 1), np.float32) for name in manifest.ids}
        store_feature(tmp_path, manifest, samples, modality="audio", encoder="waveform", kind="sequence", shape=(1,))
        return Store(tmp_path)

    def test_all_but_waveforms(self, store: Store) -> None:
        found, notes = choose(store, "all", ())
        assert [feature.name for feature in found] == ["sentence", "logmel"]
        assert len(notes) == 1
        assert notes[0].startswith("audio/waveform-")

    def test_the_command_knows_every_modality(self) -> None:
        from pipeline.commands.explore_embeddings import command

        (modality,) = (item.type for item in command.params if item.name == "modality")
        assert list(getattr(modality, "choices", ())) == [*MODALITIES, "all"]

    def test_by_name_in_any_modality(self, store: Store) -> None:
        assert [feature.name for feature in choose(store, "all", ("logmel", "sentence", "logmel"))[0]] == [
            "logmel",
            "sentence",
        ]

    def test_errors_name_the_nearest(self, store: Store, tmp_path: Path) -> None:
        for modality in ("all", "text"):
            with pytest.raises(FeatureChoiceError, match=r"no feature 'sentense' in .* did you mean 'sentence'"):
                choose(store, modality, ("sentense",))
        with pytest.raises(UsageError, match="waveform have no mean"):
            choose(store, "audio", ("waveform",))
        with pytest.raises(StoreError, match="holds no visual feature: make one with `erc extract --modality visual"):
            choose(store, "visual", ())
        (tmp_path / "empty").mkdir()
        with pytest.raises(StoreError, match="holds no feature"):
            choose(Store(tmp_path / "empty"), "all", ())


class TestProjection:
    @pytest.fixture
    def values(self) -> np.ndarray:
        random = np.random.default_rng(0)
        return (random.normal(size=(90, 20)) * np.linspace(3, 0.2, 20)).astype(np.float32)

    def test_pca_is_scikit_learns(self, values: np.ndarray) -> None:
        plane, space = projection.pca(values, (2, 3), seed=0)
        centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
        exact = PCA(3, svd_solver="full").fit(centred)
        for found, dims in ((plane, 2), (space, 3)):
            expected = exact.transform(centred)[:, :dims]
            signs = np.sign((found.points * expected).sum(axis=0))
            np.testing.assert_allclose(found.points * signs, expected, atol=1e-6)
            np.testing.assert_allclose(found.explained, exact.explained_variance_ratio_[:dims], rtol=1e-6)

    def test_on_the_sphere_directions_stay(self, values: np.ndarray) -> None:
        for plain, sphere in zip(
            projection.pca(values, (2, 3), 0), projection.pca(values, (2, 3), 0, sphere=True), strict=True
        ):
            lengths = np.linalg.norm(plain.points, axis=1, keepdims=True)
            np.testing.assert_allclose(np.linalg.norm(sphere.points, axis=1), 1.0)
            np.testing.assert_allclose(sphere.points * lengths, plain.points)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("sphere", [False, True])
    def test_where_nothing_varies_the_shares_are_0(self, sphere: bool) -> None:
        equal = np.full((9, 5), 0.1, np.float32)
        for found, dims in zip(projection.pca(equal, (2, 3), 0, sphere), (2, 3), strict=True):
            assert found.explained == (0.0,) * dims
            np.testing.assert_array_equal(found.points, np.zeros((9, dims)))

    def test_too_few_rows(self) -> None:
        with pytest.raises(UsageError, match="there are 2 utterances of 9 values: raise --per-class"):
            projection.pca(np.zeros((2, 9), np.float32), (2,), 0)

    @pytest.mark.slow
    def test_umap_parts_what_is_far_apart_and_is_seeded(self) -> None:
        if importlib.util.find_spec("umap") is None:
            pytest.skip("umap-learn is not installed")
        random = np.random.default_rng(0)
        values = random.normal(size=(60, 5)).astype(np.float32)
        values[30:] += 40
        first, again = (projection.umap(values, 2, seed=3) for _ in range(2))
        np.testing.assert_array_equal(first.points, again.points)
        near, far = first.points[:30], first.points[30:]
        spread = max(np.ptp(near, axis=0).max(), np.ptp(far, axis=0).max())
        assert np.linalg.norm(near.mean(axis=0) - far.mean(axis=0)) > spread
        with pytest.raises(UsageError, match="needs more than 15 utterances, and 10 are sampled"):
            projection.umap(values[:10], 2, 0)

    def test_without_umap_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "umap" else find(name))
        with pytest.raises(UsageError, match="umap-learn.*" + re.escape(install_extra("explore"))):
            projection.check_umap()


class TestProbe:
    def test_equals_plain_scikit_learn(self, tmp_path: Path, manifest: Manifest) -> None:
        values = vectors(manifest)
        found = look(store_feature(tmp_path, manifest, values), manifest)
        train, gold = rows_of(manifest, values, "train")
        dev, dev_gold = rows_of(manifest, values, "dev")
        strength = probe.STRENGTH / len(train)
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=probe.MOST_ITERATIONS))
        linear.fit(train, gold)
        assert found.scores[0].train == pytest.approx(f1_score(gold, linear.predict(train), average="weighted"))
        assert found.scores[0].dev == pytest.approx(f1_score(dev_gold, linear.predict(dev), average="weighted"))
        scaler = StandardScaler().fit(train)
        near = KNeighborsClassifier(probe.NEIGHBOURS).fit(scaler.transform(train), gold)
        assert found.scores[1].dev == pytest.approx(
            f1_score(dev_gold, near.predict(scaler.transform(dev)), average="weighted")
        )
        constant = np.full(len(dev_gold), LABELS.index("neutral"))
        assert found.scores[2].dev == pytest.approx(f1_score(dev_gold, constant, average="weighted", zero_division=0))

    def test_on_train_no_utterance_is_its_own_neighbour(self) -> None:
        random = np.random.default_rng(0)
        values, gold = random.normal(size=(80, 4)).astype(np.float32), random.integers(0, 2, 80)
        (_, near, _) = probe.probe_scores(values, gold, values[:0], gold[:0], ("a", "b"), None)
        one_out = [
            KNeighborsClassifier(probe.NEIGHBOURS)
            .fit(np.delete(values, row, axis=0), np.delete(gold, row))
            .predict(values[[row]])[0]
            for row in range(len(values))
        ]
        assert near.train == pytest.approx(f1_score(gold, one_out, average="weighted"))
        assert near.dev is None

    def test_dev_does_not_change_what_is_learned_from_train(self, tmp_path: Path, manifest: Manifest) -> None:
        values = vectors(manifest)
        other = {name: value * 50 + 9 if "/dev/" in name else value for name, value in values.items()}
        first = look(store_feature(tmp_path / "a", manifest, values), manifest)
        second = look(store_feature(tmp_path / "b", manifest, other), manifest)
        assert [score.train for score in first.scores] == [score.train for score in second.scores]
        assert [score.dev for score in first.scores] != [score.dev for score in second.scores]

    def test_test_is_never_read(self, tmp_path: Path, manifest: Manifest) -> None:
        utterances = readable_utterances(manifest)
        assert set(utterances.splits) == {"train", "dev"}
        values = vectors(manifest)
        other = {name: value * 50 if "/test/" in name else value for name, value in values.items()}
        first = look(store_feature(tmp_path / "a", manifest, values), manifest)
        second = look(store_feature(tmp_path / "b", manifest, other), manifest)
        np.testing.assert_array_equal(first.projections[0].points, second.projections[0].points)
        assert first.scores == second.scores

    def test_wide_features_are_probed_on_fewer_rows(
        self, tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert probe.most_rows(2304) >= 9989
        assert probe.most_rows(20_000) == 1200
        assert probe.most_rows(10**9) == probe.LEAST_ROWS
        monkeypatch.setattr(probe, "MOST_VALUES", WIDTH * 50)
        monkeypatch.setattr(probe, "LEAST_ROWS", 10)
        found = look(store_feature(tmp_path, manifest), manifest)
        assert (found.probe_rows, found.train_rows, found.dev_rows) == (50, SPLITS["train"], SPLITS["dev"])

    def test_one_class_and_one_row(self) -> None:
        values = np.zeros((1, 3), np.float32)
        gold = np.zeros(1, np.int64)
        assert [score.train for score in probe.probe_scores(values, gold, values, gold, ("a", "b"), None)] == [1.0] * 3


class TestLook:
    def test_missing_rows_are_counted_and_not_shown(self, tmp_path: Path, manifest: Manifest) -> None:
        gone = (*manifest.ids[:30], manifest.ids[-1])  # the last is of test
        found = look(store_feature(tmp_path, manifest, missing=gone), manifest)
        assert found.missing == {"no-media": 30}
        assert found.probe_rows == SPLITS["train"] - 30
        assert found.sample.min() >= 30
        assert len(found.projections[0].points) == len(found.sample) == 60

    def test_points_are_standardised_by_train(self, tmp_path: Path, manifest: Manifest) -> None:
        values = vectors(manifest)
        found = look(store_feature(tmp_path, manifest, values), manifest)
        scaler = StandardScaler().fit(rows_of(manifest, values, "train")[0])
        shown = scaler.transform([values[manifest.ids[row]] for row in found.sample])
        expected = PCA(2, svd_solver="full").fit_transform(shown)
        signs = np.sign((found.projections[0].points * expected).sum(axis=0))
        np.testing.assert_allclose(found.projections[0].points * signs, expected, atol=1e-4)

    def test_stale_rows_are_refused(self, tmp_path: Path, manifest: Manifest) -> None:
        feature = store_feature(tmp_path, manifest)
        edited = make_corpus(text=lambda split, number: f"another {split} {number}")
        with pytest.raises(StaleFeaturesError, match="were extracted from other input"):
            look(feature, edited)
        assert look(feature, edited, Settings(per_class=5, allow_stale=True)).dev_rows == SPLITS["dev"]

    def test_nothing_to_learn_from(self, tmp_path: Path, manifest: Manifest) -> None:
        with pytest.raises(ManifestError, match="no train utterance has a label"):
            readable_utterances(make_corpus(label=lambda split, _: None if split == "train" else "joy"))
        with pytest.raises(ManifestError, match="has no train split"):
            readable_utterances(manifest.select_splits(["dev"]))
        gone = tuple(name for name in manifest.ids if "/train/" in name)
        with pytest.raises(StoreError, match="no labelled train utterance has an embedding: run `erc extract"):
            look(store_feature(tmp_path, manifest, missing=gone), manifest)


class TestColours:
    def test_neutral_and_train_are_grey(self, manifest: Manifest) -> None:
        utterances = readable_utterances(manifest)
        sample = np.arange(0, len(utterances), 3)
        by_emotion = colour_groups(utterances, sample, "emotion", "neutral")
        assert {group.name: group.colour for group in by_emotion} == {
            "anger": PALETTE[0],
            "joy": PALETTE[1],
            "neutral": GREY,
        }
        by_split = colour_groups(utterances, sample, "split", "neutral")
        assert [(group.name, group.colour) for group in by_split] == [("train", GREY), ("dev", PALETTE[0])]
        for groups in (by_emotion, by_split):
            assert sorted(np.concatenate([group.rows for group in groups])) == list(range(len(sample)))
        for group in by_emotion:
            assert {LABELS[utterances.labels[sample[row]]] for row in group.rows} == {group.name}

    def test_few_speakers_are_named(self) -> None:
        many = make_corpus(speaker=lambda _, number: f"lead {number % 6}" if number % 3 else f"guest {number}")
        utterances = readable_utterances(many)
        groups = colour_groups(utterances, np.arange(len(utterances)), "speaker", None)
        named, rest = groups[:-1], groups[-1]
        assert len(named) == SPEAKERS
        assert all(group.colour != GREY for group in named)
        others = len(set(utterances.speakers)) - SPEAKERS
        assert (rest.name, rest.colour) == (f"{others} others", GREY)

    def test_more_classes_than_colours_differ_in_shape(self) -> None:
        names = tuple(f"label {number:02}" for number in range(20))
        card = dataclasses.replace(make_corpus().card, labels=names, neutral=None)
        utterances = readable_utterances(make_corpus(card, label=lambda _, number: names[number % 20]))
        groups = colour_groups(utterances, np.arange(len(utterances)), "emotion", None)
        assert len({(group.colour, group.shape) for group in groups}) == 20


def test_no_group_is_always_on_top_and_every_point_is_drawn_once() -> None:
    sizes = (40, 40, 5)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    groups = [
        Group(
            f"g{place}", GREY if place == 0 else PALETTE[place], "circle", np.arange(starts[place], starts[place + 1])
        )
        for place in range(len(sizes))
    ]
    drawn = layers(groups)
    assert sorted(np.concatenate([rows for _, rows in drawn])) == list(range(sum(sizes)))
    order = [place for place, _ in drawn]
    assert min(order.count(0), order.count(1)) == LAYERS
    last = {place: len(order) - 1 - order[::-1].index(place) for place in range(2)}
    assert abs(last[0] - last[1]) == 1, "the grey one is drawn to the end, too"
    above = sum(order[number : number + 2] == [0, 1] for number in range(len(order)))
    assert 0 < above < LAYERS, "the one on top changes"
