"""`erc` whose `waveform` encoder takes its time: python slow_encoder.py SECONDS LOG ARGUMENTS...

LOG gets a line at the beginning of each batch, and one at its end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.encoders.audio.waveform import WaveformEncoder
from features.encoders.protocol import Input
from pipeline.cli import main


def slow_down(seconds: float, log: Path) -> None:
    encode = WaveformEncoder.encode

    def slowly(self: WaveformEncoder, inputs: Sequence[Input]) -> list[np.ndarray]:
        with log.open("a", encoding="utf-8") as file:
            print("begin", file=file, flush=True)
            time.sleep(seconds)
            print("end", file=file, flush=True)
        return encode(self, inputs)

    WaveformEncoder.encode = slowly  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv[1]), Path(sys.argv[2]))
    sys.argv = ["erc", *sys.argv[3:]]
    main()
