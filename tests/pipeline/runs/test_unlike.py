"""What tells runs apart beside what they are compared for, and what is of their configurations alone."""

from __future__ import annotations

from pipeline.runs.computation import Computation
from pipeline.runs.unlike import unlike


def made(device: str = "cpu", sources: dict[str, str] | None = None, **versions: str) -> Computation:
    known = {"torch": "2.0", "numpy": "2.0"} | versions
    return Computation(versions=known, device=device, precision="fp32", sources={"heads.model": "1"} | (sources or {}))


def test_one_computation_is_alike() -> None:
    found = unlike([made(), made(python="3.11"), made(python="3.12")])
    assert (found.values, found.changed) == ({}, [])


def test_parts_that_one_alone_uses_are_of_its_configuration() -> None:
    """Another loss has another file, and another line of the table of losses."""
    dice = made(sources={"heads.losses.dice": "1", "heads.losses:dice": "2"})
    focal = made(sources={"heads.losses.focal": "3", "heads.losses:focal": "4"}, transformers="5.0")
    assert unlike([dice, focal, made()]).changed == []
    assert unlike([dice, focal, made()]).values == {}


def test_what_both_have_and_is_not_the_same_is_named() -> None:
    found = unlike(
        [
            made(torch="1.9", transformers="4.0"),
            made("cuda", {"heads.model": "2", "heads.feedforward": "1"}, transformers="5.0"),
            made(sources={"heads.feedforward": "2"}),
        ]
    )
    assert found.changed == ["heads.feedforward", "heads.model"]
    assert found.values == {
        "torch": ["1.9", "2.0"],
        "transformers": ["4.0", "5.0"],
        "the kind of device": ["cpu", "cuda"],
    }
