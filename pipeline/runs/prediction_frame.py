"""A head's predictions on a split as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from heads.data.data import HeadData


def prediction_frame(data: HeadData, rows: np.ndarray, probabilities: np.ndarray) -> pl.DataFrame:
    """One line an utterance: utterance_id, dialogue_id, gold (null where unlabelled), predicted, p_LABEL (float32, in
    label order), no_input, missing (the modalities without any of their features).

    rows: int [m], positions in data; probabilities: float32 [m, c].
    """
    utterances = data.utterances
    names = utterances.label_names
    absent = {
        modality: ~np.any([item.present[rows] for item in items], axis=0) for modality, items in data.inputs.items()
    }
    return pl.DataFrame(
        {
            "utterance_id": [utterances.ids[row] for row in rows],
            "dialogue_id": [utterances.dialogue_ids[row] for row in rows],
            "gold": [names[label] if label >= 0 else None for label in utterances.labels[rows]],
            "predicted": [names[place] for place in probabilities.argmax(axis=1)],
            **{f"p_{name}": probabilities[:, place].astype(np.float32) for place, name in enumerate(names)},
            "no_input": np.all(list(absent.values()), axis=0),
            "missing": _missing(absent),
        },
        schema_overrides={"gold": pl.String},
    )


def _missing(absent: Mapping[str, np.ndarray]) -> pl.Series:
    """Of each row, a list of the modalities that are absent. Each of the few different lists is made once."""
    codes = sum(mask.astype(np.int64) << place for place, mask in enumerate(absent.values()))
    lists = [
        [modality for place, modality in enumerate(absent) if code >> place & 1] for code in range(1 << len(absent))
    ]
    return pl.Series(lists, dtype=pl.List(pl.String)).gather(codes)
