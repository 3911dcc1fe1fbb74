"""The report's 30 experiments, all of them, as `erc ablate table4` trains them. In full alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness.results import Claim, Comparison, Measured
from benchmarks.harness.rounds import Show
from benchmarks.workers.table4 import train_suite

TITLE = "The whole of table 4"
TEXT = """\
`erc ablate table4 --seeds 1 --jobs 2` on random features of MELD's size: GPT-2, GloVe, wav2vec2 (13 layers of it, too),
ResNet-50 and RetinaFace, and waveforms at 8 kHz whose lengths are spread as MELD's are. Mixed precision where the
processor has units for it. Early stopping ends most heads soon on features that say nothing; on real ones they may go
on for longer, so that the seconds of an epoch are beside those of a seed."""

_WHOLE = "the whole suite, wall time"


def measure(size: str, place: Path, show: Show) -> list[Comparison]:
    whole, table = train_suite(place / "table4", seeds=1, jobs=2)
    show(f"  {whole:.0f} s")
    rows = [
        Measured(
            row["experiment"],
            (row["seconds"],),
            None,
            f"{row['epochs']:.0f} epochs of {row['seconds'] / row['epochs']:.2f} s, {row['parameters']:,} weights",
        )
        for row in table.iter_rows(named=True)
    ]
    return [
        Comparison(
            "Seconds of training a seed",
            "two of them at a time",
            None,
            (Measured(_WHOLE, (whole,)), *rows),
            (Claim(_WHOLE, None, "at most", aim=900, stated=None),),
        )
    ]
