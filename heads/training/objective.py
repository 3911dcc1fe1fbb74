"""An experiment's losses as one: their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heads.config.experiment import Component
from heads.config.registry import look_up
from heads.losses import LOSSES, WeightedSum
from heads.signals import LossTask


def build_objective(terms: Sequence[Component], task: LossTask) -> WeightedSum:
    """New losses, initialised from torch's generator. Raises ConfigError for one that does not fit the task."""
    table: Mapping[str, Any] = LOSSES
    return WeightedSum(
        [(term.common["weight"], look_up(table, term.name, "loss")(task, **term.settings)) for term in terms]
    )
