"""What is known of an encoder without importing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from features.spec import Modality

Options = dict[str, tuple[Any, str]]
"""`--set` keys -> (default, one line of help)."""


@dataclass(frozen=True)
class Entry:
    """What is known of an encoder without importing it.

    options:   its settings
    model:     whether `--model` applies; default_model is used without it
    device:    whether it computes with torch, so that --device and --dtype apply
    published: its settings with `--as-published`; None where the report has no such encoder
    signed:    whether numbers among its settings may be 0 or below
    derives:   the encoder whose stored feature it is computed from; `options` holds that one's settings, too
    """

    modality: Modality
    target: str
    summary: str
    options: Options = field(default_factory=dict)
    model: bool = False
    default_model: str | None = None
    device: bool = False
    published: Options | None = None
    derives: str | None = None
    signed: bool = False
