"""Which rows are replaced: by a later row of the same utterance that was made from the same source.

A row of another source is not replaced: another manifest may read it. Where manifests are named, these are all that
read, and what none of them reads is replaced too. `erc store ls` and `gc` both ask here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import StoreError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.ledger import read_sound_ledgers

_KEY = ["utterance_id", "source_digest"]
# Hashes instead of texts take a fifth of the time. Rows are the same row only where both of two hashes say so.
ID = pl.col("utterance_id").hash().alias("id")
_ROWS = [
    ID,
    (pl.col("utterance_id").hash(1) ^ pl.col("source_digest").hash(2)).alias("key"),
    (pl.col("utterance_id").hash(3) ^ pl.col("source_digest").hash(4)).alias("other_key"),
]


@dataclass(frozen=True)
class Replaced:
    """What is replaced among a feature's shards, which are named by their places.

    shards:        those all of whose rows are replaced
    other_sources: those whose every row is replaced or older than a row of another source, and that are not in `shards`
    unnamed:       how many rows belong to utterances that none of the manifests has
    bad:           ledgers that could not be read: nothing is known of these shards, and they are not in `shards`
    rows:          where an utterance has several rows, all rows: id, key, place, stays (whether it is not replaced)
    """

    shards: list[int] = field(default_factory=list)
    other_sources: list[int] = field(default_factory=list)
    unnamed: int = 0
    bad: dict[int, StoreError] = field(default_factory=dict)
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)

    def replacers(self) -> dict[int, set[int]]:
        """Each of `shards` -> those that hold what replaces its rows: of the same source, or else of the utterance."""
        found: dict[int, set[int]] = {place: set() for place in self.shards}
        if found:
            gone = self.rows.filter(pl.col("place").is_in(self.shards))
            stays = self.rows.filter("stays").select("id", "key", by="place")
            same = gone.join(stays, on="key", how="inner")
            others = gone.join(stays, on="key", how="anti").join(stays, on="id", how="inner")
            for pairs in (same, others):
                for place, by in pairs.select("place", "by").unique().iter_rows():
                    found[place].add(by)
        return found


def sources_of(manifests: Sequence[Manifest], spec: EncoderSpec) -> pl.DataFrame | None:
    """What `find_replaced` asks for: every row that some manifest reads. None without a manifest."""
    if not manifests:
        return None
    frames = [pl.DataFrame([item.ids, item.source_digests(spec.depends)], schema=_KEY) for item in manifests]
    return pl.concat(frames).select(_ROWS).unique("key")


def has_repeats(ids: pl.Series) -> bool:
    """Whether an utterance has several rows, by the column ID of all rows: else nothing is replaced."""
    ordered = np.sort(ids.to_numpy())  # four times as fast as counting them
    return bool((ordered[1:] == ordered[:-1]).any())


def find_replaced(ledgers: Sequence[Path], wanted: pl.DataFrame | None = None) -> Replaced:
    """What is replaced in a feature, whose ledgers are given in the order in which later ones hold.

    wanted: what `sources_of` gives. Of each utterance that it has, the newest row of each wanted source stays, and the
            newest of all where a wanted source has no row yet: that is what a reader with such a manifest finds.
    """
    rows, bad = read_sound_ledgers(ledgers, ["utterance_id"], [ID])
    unnamed = 0 if wanted is None else int((~rows["id"].is_in(wanted["id"].implode())).sum())
    if not has_repeats(rows["id"]):
        return Replaced(unnamed=unnamed, bad=bad)
    rows, bad = read_sound_ledgers(ledgers, _KEY, _ROWS)
    rows = rows.with_columns(is_newest=pl.col("id").is_last_distinct())
    rows = rows.with_columns(stays=_stays(rows, wanted))
    replaced = set(rows["place"].unique()) - set(rows.filter("stays")["place"].unique())
    older = set(rows["place"].unique()) - set(rows.filter("is_newest")["place"].unique()) - replaced
    return Replaced(sorted(replaced), sorted(older), unnamed, bad, rows)


def _stays(rows: pl.DataFrame, wanted: pl.DataFrame | None) -> pl.Series:
    """bool [n]: of rows in the order in which later ones hold, those that are not replaced."""
    last = rows["key"].is_last_distinct() | rows["other_key"].is_last_distinct()
    if wanted is None:
        return last
    is_named = rows["id"].is_in(wanted["id"].implode())
    is_wanted = rows["key"].is_in(wanted["key"].implode())
    lacking = wanted.filter(~pl.col("key").is_in(rows["key"].implode()))
    stands_in = rows["is_newest"] & rows["id"].is_in(lacking["id"].implode())
    return last & (~is_named | is_wanted | stands_in)
