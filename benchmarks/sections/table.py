"""The sections by name, in the page's order: of every size, in full alone, on a GPU."""

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
FULL_SECTIONS = {"table4": "benchmarks.sections.table4"}
GPU_SECTIONS = {
    "gpu-extraction": "benchmarks.sections.gpu_extraction",
    "gpu-pictures": "benchmarks.sections.gpu_pictures",
    "gpu-heads": "benchmarks.sections.gpu_heads",
}


def sections_of(size: str) -> dict[str, str]:
    return {"gpu": GPU_SECTIONS, "full": SECTIONS | FULL_SECTIONS}.get(size, SECTIONS)
