"""Several extractions after each other, and cuts that ffmpeg makes first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.inputs.recording import write_cuts
from benchmarks.workers.ours import Extraction
from features.extract import extract_features
from features.manifest import read_manifest


class OneAfterTheOther(Extraction):
    """A run an encoder, each of which decodes the clips again."""

    rows = None  # type: ignore[assignment]

    def __call__(self) -> None:
        for encoder in self.encoders:
            self.jobs = extract_features(self.manifest, self.store, [encoder], decoding=self.decoding)


class CutFirst(Extraction):
    """ffmpeg writes a file a cut, encoded anew since a copied stream begins at a key frame; these are extracted."""

    rows = None  # type: ignore[assignment]

    def __init__(self, requests: list[dict[str, Any]], manifest: str, dtype: str) -> None:
        import imageio_ffmpeg

        super().__init__(requests, manifest, dtype)
        self._ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        self._cuts = [(item.start or 0.0, item.end or 0.0) for item in self.manifest.utterances()]
        self._recording = self.manifest.media_path(self.manifest.frame["media"][0])
        self._clips = self.place / "clips"

    def before(self) -> None:
        super().before()
        shutil.rmtree(self._clips, ignore_errors=True)
        self._clips.mkdir()

    def __call__(self) -> None:
        names = []
        for number, (start, end) in enumerate(self._cuts):
            names.append(f"{number}.mp4")
            flags = ["-loglevel", "error", "-ss", str(start), "-i", str(self._recording), "-t", f"{end - start:.3f}"]
            subprocess.run([self._ffmpeg, *flags, "-preset", "veryfast", str(self._clips / names[-1])], check=True)
        path = write_cuts(self.place / "clips.parquet", self._clips, names, None)
        self.manifest = read_manifest(Path(path))
        super().__call__()
