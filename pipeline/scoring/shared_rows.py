"""Normalised features of a split, read once for all the heads that read them the same way."""

from __future__ import annotations

from collections import OrderedDict

from features.digests import digest_of
from features.store import Feature
from heads.data.data import FeatureRows, apply_feature
from heads.data.normalise import Normaliser
from heads.data.utterances import Utterances

KEPT_BYTES = 1 << 30


class SharedRows:
    """Keeps what was read last, as much as fits in `kept_bytes`; the newest is kept whatever its size."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[tuple[str, ...], FeatureRows] = OrderedDict()

    def of(self, feature: Feature, utterances: Utterances, split: str, normaliser: Normaliser) -> FeatureRows:
        """The feature of `utterances`, normalised. split: a name for these utterances, the same at every call."""
        key = (str(feature.path), split, _digest(normaliser))
        rows = self._kept.pop(key, None)
        if rows is None:
            rows = apply_feature(feature, utterances, normaliser)
            feature.close_shards()
        self._kept[key] = rows
        held = sum(item.values.nbytes for item in self._kept.values())
        while held > self._kept_bytes and len(self._kept) > 1:
            held -= self._kept.popitem(last=False)[1].values.nbytes
        return rows


def _digest(normaliser: Normaliser) -> str:
    """Heads of one store and one manifest are normalised by the same bits."""
    arrays = [None if array is None else array.tobytes().hex() for array in (normaliser.mean, normaliser.scale)]
    return digest_of("normaliser", normaliser.name, *arrays)
