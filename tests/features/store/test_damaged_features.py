"""One damaged feature stands in no other's way, and is named wherever it is missed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_damage import failing_reads, flip
from store_factory import make_manifest, make_spec

from features.errors import FeatureChoiceError, ShardError, StoreError, UnreadableError
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.export import export_feature
from features.store.listing import list_store
from pipeline.terminal.extract_commands import lacking_features

SPEC = make_spec()
OTHER = make_spec(encoder="other")
AUDIO = make_spec(modality="audio", encoder="logmel")


def write(root: Path, spec: EncoderSpec) -> Feature:
    manifest = make_manifest(40)
    return write_feature(root, spec, manifest, {key: np.full(3, 1, np.float32) for key in manifest.ids})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for spec in (SPEC, OTHER, AUDIO):
        write(tmp_path, spec)
    return tmp_path


DAMAGES = {
    "flipped": lambda path: flip(path),
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
    "gone": lambda path: path.unlink(),
    "another's": lambda path: path.write_text(OTHER.to_json()),
    "a list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_others_are_there(store: Path, tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](store / SPEC.folder / "spec.json")
    opened = Store(store)
    assert [feature.folder for feature in opened.features()] == [OTHER.folder, AUDIO.folder]
    ((folder, error),) = opened.damaged
    assert folder == SPEC.folder
    assert isinstance(error, ShardError)
    assert str(error).startswith(f"{store / SPEC.folder / 'spec.json'}: ")
    assert "`erc store verify STORE --repair` writes it again" in str(error)
    assert "\n" not in str(error)
    feature = opened.choose("text", "other")
    assert feature.read(make_manifest(40).ids).present.all()
    assert export_feature(feature, tmp_path / "out.parquet", "parquet").ok == 40
    summaries, (trouble,) = list_store(store)
    assert [summary.feature.folder for summary in summaries] == [OTHER.folder, AUDIO.folder]
    assert (trouble.folder, trouble.kind) == (SPEC.folder, "damaged")


@pytest.mark.parametrize("selector", ["surface", f"surface@{SPEC.fingerprint[:8]}", f"surface@{SPEC.fingerprint}"])
def test_a_name_that_only_a_damaged_one_bears(store: Path, selector: str) -> None:
    flip(store / SPEC.folder / "spec.json")
    expected = rf"text: '{selector}' is {SPEC.folder}, which cannot be opened: .*spec\.json: .*--repair"
    with pytest.raises(FeatureChoiceError, match=expected):
        Store(store).choose("text", selector)


@pytest.mark.parametrize("selector", [{"encoder": "surface"}, {"encoder": "surface", "model": None}])
def test_fields_that_may_be_those_of_a_damaged_one(store: Path, selector: dict[str, str]) -> None:
    flip(store / SPEC.folder / "spec.json")
    with pytest.raises(FeatureChoiceError, match=f"is {SPEC.folder}, which cannot be opened"):
        Store(store).choose("text", selector)


def test_a_name_that_a_damaged_one_bears_too(store: Path) -> None:
    """Without the damage it would match two: what it names must not depend on a disk."""
    second = write(store, make_spec(settings={"layers": "-2"}))
    with pytest.raises(FeatureChoiceError, match="matches 2 features"):
        Store(store).choose("text", "surface")
    flip(store / SPEC.folder / "spec.json")
    opened = Store(store)
    match = rf"is {SPEC.folder}, which cannot be opened \(or surface@{second.fingerprint[:8]}: then say so\)"
    with pytest.raises(FeatureChoiceError, match=match):
        opened.choose("text", "surface")
    with pytest.raises(FeatureChoiceError, match=f"is {SPEC.folder}, which cannot"):
        opened.choose("text", {"encoder": "surface"})
    assert opened.choose("text", f"surface@{second.fingerprint[:8]}").folder == second.folder
    assert opened.choose("text", {"encoder": "surface", "layers": "-2"}).folder == second.folder


def test_another_name_is_unknown_as_before(store: Path) -> None:
    flip(store / SPEC.folder / "spec.json")
    with pytest.raises(FeatureChoiceError, match=r"no feature 'othr' in .* did you mean 'other'"):
        Store(store).choose("text", "othr")
    with pytest.raises(FeatureChoiceError, match="has no visual feature: make it"):
        Store(store).choose("visual", "faces")


def test_one_that_cannot_be_read(store: Path) -> None:
    with failing_reads(store / SPEC.folder / "spec.json"):
        opened = Store(store)
        ((folder, error),) = opened.damaged
    assert folder == SPEC.folder
    assert isinstance(error, UnreadableError)
    with pytest.raises(FeatureChoiceError, match=r"cannot be read \(Input/output error\)"):
        opened.choose("text", "surface")


def test_a_modality_that_cannot_be_listed(store: Path) -> None:
    with failing_reads(store / "text"):
        opened = Store(store)
        assert [feature.folder for feature in opened.features()] == [AUDIO.folder]
    assert [folder for folder, _ in opened.damaged] == ["text"]
    with pytest.raises(FeatureChoiceError, match=r"text: 'other' is text, which cannot be opened"):
        opened.choose("text", "other")


def test_what_an_extraction_has_just_begun_is_no_damage(store: Path) -> None:
    """A folder with a lock and a temporary file, as it is before spec.json has its name."""
    begun = store / "text" / "begun-00000000"
    begun.mkdir()
    (begun / ".lock").touch()
    (begun / f".tmp-{'0' * 32}-12345678").write_bytes(b"half")
    (store / "text" / "stray-00000000").write_text("a file")
    assert Store(store).damaged == []
    assert len(Store(store).features()) == 3


def test_a_store_of_nothing_but_damage(tmp_path: Path) -> None:
    feature = write(tmp_path, SPEC)
    flip(feature.path / "spec.json")
    summaries, troubles = list_store(tmp_path)
    assert (summaries, len(troubles)) == ([], 1)
    with pytest.raises(StoreError, match=r"is text/surface-.*, which cannot be opened"):
        Store(tmp_path).choose("text", "surface")


def test_a_suite_does_not_take_it_for_one_that_was_never_made(store: Path) -> None:
    inputs = {"text": ["surface", "sentence"], "audio": ["logmel"]}
    flip(store / SPEC.folder / "spec.json")
    assert lacking_features(inputs, Store(store)) == [("text", "sentence")]
    assert len(lacking_features(inputs, None)) == 3
