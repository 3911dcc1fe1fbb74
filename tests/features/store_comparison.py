"""Whether two stores hold the same: tensors bit for bit, ledgers but for times (host and time are in no row)."""

from __future__ import annotations

from pathlib import Path

from features.store import Feature, Store

TIMES = ["seconds_decode", "seconds_encode"]


def assert_same_store(one: Path, other: Path) -> None:
    features = Store(one).features()
    assert [item.folder for item in features] == [item.folder for item in Store(other).features()]
    assert features
    for feature in features:
        assert_same_feature(feature, Feature(other, feature.folder))


def assert_same_feature(one: Feature, other: Feature) -> None:
    assert one.names == other.names
    assert one.spec == other.spec
    for name in one.names:
        tensors = [(feature.path / f"{name.stem}.h5").read_bytes() for feature in (one, other)]
        assert tensors[0] == tensors[1], f"{one.folder}/{name.stem}.h5"
    ledgers = [feature.ledger().drop(TIMES).sort("utterance_id") for feature in (one, other)]
    assert ledgers[0].equals(ledgers[1])
