"""`erc ingest iemocap`: a manifest of IEMOCAP as it is unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands.ingest_options import finish, out_option, probe_option
from pipeline.terminal.options import LocalPath, json_option


@click.command(
    epilog="""\b
Example:
  erc ingest iemocap IEMOCAP_full_release --labels 4 --test-session 5 --dev session4 --out iemocap.parquet

ROOT holds Session1 to Session5. An utterance with another label than the four or six stays in its dialogue as
context, with an empty label.
"""
)
@click.argument("root", type=LocalPath())
@out_option
@click.option(
    "--labels",
    type=click.Choice(["4", "6"]),
    default="6",
    show_default=True,
    help="4: angry, happy (which includes excited), neutral, sad. 6: excited and frustrated are labels of their own.",
)
@click.option("--test-session", type=click.IntRange(1, 5), default=5, show_default=True, help="The session to test on.")
@click.option(
    "--dev",
    default="session4",
    show_default=True,
    metavar="sessionN|random-dialogues",
    help="What becomes dev: a session, or a tenth of the dialogues that are not test.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of --dev random-dialogues.")
@click.option(
    "--media",
    type=click.Choice(["auto", "avi", "wav", "none"]),
    default="auto",
    show_default=True,
    help="avi: cuts of the dialogue's video. wav: the sentence's own file, sound only. auto: avi if there are any,"
    " else wav.",
)
@probe_option
@json_option
def command(
    root: Path,
    out: Path,
    labels: str,
    test_session: int,
    dev: str,
    seed: int,
    media: Any,
    probe: bool,
    as_json: bool,
) -> None:
    """IEMOCAP in the layout of its archive."""
    from pipeline.ingest.iemocap import ingest_iemocap

    finish(*ingest_iemocap(root, int(labels), test_session, dev, seed, media, probe), out, as_json)
