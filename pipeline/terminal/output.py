"""What commands print besides their tables: one JSON document on stdout, a warning on stderr."""

from __future__ import annotations

import json
from typing import Any

import click


def print_json(document: Any, indent: int | None = None) -> None:
    """On stdout, where nothing else stands then. indent: spaces a level; None: all on one line"""
    click.echo(json.dumps(document, ensure_ascii=False, indent=indent))


def print_warning(text: str) -> None:
    """`erc: text` on stderr."""
    click.echo(f"erc: {text}", err=True)
