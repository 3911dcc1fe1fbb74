"""The sections by name, in the page's order."""

from __future__ import annotations

# name -> module with TITLE, TEXT and `measure(size, place, show) -> list of tables`
SECTIONS = {
    "extraction": "benchmarks.sections.extraction",
    "together": "benchmarks.sections.together",
    "starting": "benchmarks.sections.starting",
    "reading": "benchmarks.sections.reading",
    "heads": "benchmarks.sections.heads",
    "reporting": "benchmarks.sections.reporting",
    "scale": "benchmarks.sections.scale",
}
GPU_SECTIONS = {"gpu": "benchmarks.sections.gpu"}
