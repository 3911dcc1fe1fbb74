"""What a run scored on other rows than its own corpus's: RUN/other-corpora/DATASET-DIGEST/, in the files of a run.

It holds metrics-SPLIT.json and seed-N/predictions-SPLIT.parquet. The folder is named by what was scored: the rows of
the whole manifest, wherever its file lies, and the map of labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from features.digests import digest_of
from features.errors import RunFileError
from pipeline.runs.folder import Run
from pipeline.runs.identity import ManifestIdentity
from pipeline.runs.json_files import read_checked
from pipeline.runs.metrics_file import Metrics, with_constant_named

OTHER_CORPORA = "other-corpora"
_NO_NAME = re.compile(r"[^\w.+-]+")


def other_folder(run: Path, given: ManifestIdentity, labels_map: Mapping[str, str]) -> Path:
    """Where the scores of a run on a manifest that is not its own belong."""
    digest = digest_of("other-corpus", given.rows, dict(labels_map))
    name = _NO_NAME.sub("_", given.dataset)[:60].strip(".") or "corpus"
    return run / OTHER_CORPORA / f"{name}-{digest[:8]}"


def read_other_scores(run: Run) -> tuple[list[Metrics], list[str]]:
    """All of them, by folder and split, and what could not be read, a line each."""
    found, problems = [], []
    for file in sorted((run.path / OTHER_CORPORA).glob("*/metrics-*.json")):
        try:
            found.append(_read(run, file))
        except RunFileError as error:
            problems.append(f"{OTHER_CORPORA}/{file.parent.name}: {error.problem}")
    return found, problems


def _read(run: Run, file: Path) -> Metrics:
    mend = "run `erc evaluate` with that --manifest again"
    scores = read_checked(Metrics, file, mend, printable=run.printable)
    if scores.labels != run.labels:
        raise RunFileError(file.parent, f"{file.name} has other labels than features.json", mend)
    if scores.scored is None:
        raise RunFileError(file.parent, f"{file.name} does not say what was scored", mend)
    return with_constant_named(scores, run.features.manifest.neutral)
