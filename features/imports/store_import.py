"""A foreign file as a feature of a store: read, joined, described by a spec, and committed shard by shard.

What it depends on: the text for a text feature, the clip's path and cut for the others, as for features of our own. So
an edit of either makes the rows stale, and training says so. Importing the same file again keeps them: the join is
checked anew, and the rows are written again with what the manifest holds now. Clips themselves are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import Reason, UsageError
from features.imports.foreign import BelowTopError, Foreign, ForeignError, Form, fitted, form_of
from features.imports.formats import read_foreign, source_digest
from features.imports.join import Joined, join
from features.manifest import Manifest
from features.sources import Depends
from features.spec import EncoderSpec, Kind, Modality
from features.store.export_top import top_path
from features.store.ledger import LedgerRow
from features.store.plan import Plan, PlanOptions, manifest_chunks
from features.store.write import FeatureWriter, open_planned

ENCODER = "imported"
VERSION = 1

_LARGE_ROW = 1 << 18  # bytes from which shards are small, as those of waveforms
_DEPENDS: dict[Modality, Depends] = {"text": "text", "audio": "media", "visual": "media"}

Advance = Callable[[int], object]


@dataclass(frozen=True)
class ImportRequest:
    """What is asked for.

    name:    of the feature, its alias
    file_format, field, ids: see `read_foreign`; template: see `join`; kind: see `form_of`
    note, model: words of the user on how the file was made
    """

    modality: Modality
    name: str
    file_format: str = "auto"
    field: str | None = None
    ids: str | None = None
    template: str | None = None
    kind: Kind | None = None
    note: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A foreign file that was read and joined; nothing is written yet."""

    source: Path
    foreign: Foreign
    joined: Joined
    form: Form
    spec: EncoderSpec
    manifest: Manifest

    @property
    def without(self) -> list[str]:
        """Utterances that the file has no array of, in the manifest's order."""
        return [name for row, name in enumerate(self.manifest.ids) if self._row(row) is None]

    def _row(self, row: int) -> int | None:
        place = self.joined.places.get(row)
        return None if place is None or self.foreign.ids[place] in self.foreign.absent else place

    def has_array(self, row: int) -> bool:
        """Whether there is an array of a row of the manifest; none is read."""
        place, rows = self._row(row), self.foreign.rows
        return place is not None and not (isinstance(rows, list) and rows[place] is None)

    def array(self, row: int) -> np.ndarray | None:
        """The array of a row of the manifest, or None."""
        place = self._row(row)
        found = None if place is None else self.foreign.rows[place]
        return None if found is None else fitted(found, self.form)

    def why_absent(self, row: int) -> str:
        place = self.joined.places.get(row)
        if place is None:
            return f"no id of {self.source.name} fits it by {self.joined.rule}"
        told = self.foreign.absent.get(self.foreign.ids[place])
        return f"{self.source.name} says that there is none{f': {told}' if told else ''}"


@dataclass(frozen=True)
class Imported:
    """What came of it: utterances that were written now, by status, and those whose rows were there already."""

    written: Mapping[str, int]
    kept: int


def prepare_import(
    source: Path, request: ImportRequest, manifest: Manifest, advance: Advance = lambda count: None
) -> Prepared:
    """Read, join and describe a file. advance: called with 1 for each array that is looked at

    Raises UsageError in one line for a file that cannot be read or that does not fit the manifest.
    """
    _refuse_top(source)
    foreign = read_foreign(source, request.modality, request.file_format, request.field, request.ids)
    try:
        form = form_of(foreign, request.kind, advance)
        joined = join(foreign, manifest, request.template)
    except ForeignError as error:
        raise ForeignError(f"{source}: {error}") from error
    spec = _spec(source, request, foreign, joined, form)
    return Prepared(source, foreign, joined, form, spec, manifest)


def _refuse_top(source: Path) -> None:
    """Raises UsageError for an export with `from_top`: its values are states below the encoder's last layers and flags
    of each element, which nothing could read without those layers."""
    if top_path(source).is_file():
        raise BelowTopError(source)


def _spec(source: Path, request: ImportRequest, foreign: Foreign, joined: Joined, form: Form) -> EncoderSpec:
    told: dict[str, Any] = {
        "source": source.resolve().name,
        "source_format": foreign.file_format,
        "source_sha256": source_digest(source),
        "source_dtype": "+".join(form.dtypes),
        "field": foreign.field,
        "id_rule": joined.rule,
        "ids_sha256": source_digest(Path(request.ids)) if request.ids and Path(request.ids).is_file() else None,
        "exported_from": foreign.of,
        "made_with": request.model,
        "note": request.note,
    }
    return EncoderSpec(
        request.modality,
        ENCODER,
        VERSION,
        _DEPENDS[request.modality],
        form.kind,
        form.shape,
        {key: value for key, value in told.items() if value is not None},
        weights="foreign",
        compute_dtype="unknown",
        stored_dtype=form.stored,
        model=request.model,
        alias=request.name,
    )


def write_import(prepared: Prepared, store: Path, advance: Advance = lambda count: None) -> Imported:
    """Commit what the store lacks of it: nothing, where the same file is there and fits as it did.

    advance: called with utterances

    Raises StoreError where the store cannot be written, or another run holds the feature.
    """
    bounds = manifest_chunks(prepared.manifest, whole_dialogues=False, waveform=_is_large(prepared))
    written: Counter[str] = Counter()
    there = frozenset(name for row, name in enumerate(prepared.manifest.ids) if prepared.has_array(row))
    options = PlanOptions(fill=there)  # by another manifest, or a mended one, the file may fit more
    with open_planned(store, prepared.spec, prepared.manifest, bounds, options) as (writer, plan):
        for chunk in plan.chunks:
            rows = _commit(prepared, writer, plan, chunk.positions, chunk.number, chunk.generation)
            written.update("ok" if row.reason is None else str(row.reason) for row in rows)
            advance(len(rows))
    return Imported(written, plan.done)


def _commit(
    prepared: Prepared, writer: FeatureWriter, plan: Plan, positions: Sequence[int], number: int, generation: int
) -> list[LedgerRow]:
    rows, arrays = [], {}
    for position in positions:
        name, array = prepared.manifest.ids[position], prepared.array(position)
        digest = plan.digests[position]
        if array is None:
            rows.append(LedgerRow(name, digest, Reason.NOT_IN_IMPORT, prepared.why_absent(position)))
        else:
            rows.append(LedgerRow(name, digest))
            arrays[name] = array
    return writer.commit(number, rows, arrays, generation)


def _is_large(prepared: Prepared) -> bool:
    if prepared.form.kind != "sequence":
        return int(np.prod(prepared.form.shape)) * 4 > _LARGE_ROW
    found = (prepared.array(row) for row in list(prepared.joined.places)[:64])
    return any(array is not None and array.size * 4 > _LARGE_ROW for array in found)


def check_name(name: str, encoders: Sequence[str]) -> None:
    """Raises UsageError for a name that is an encoder's: what others made must not pass for ours."""
    if name in encoders:
        raise UsageError(
            f"--as {name}: is the name of an encoder here: give the import another, such as {name}-imported"
        )
