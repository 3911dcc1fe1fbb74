"""What would make the numbers of an experiment if it were trained now."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version

from heads.source_code import parts_of, source_digests
from pipeline.runs.computation import Computation
from pipeline.suites.plan import Planned

_LIBRARIES = ("torch", "numpy", "erc-feature-store")
# Beside them transformers, which builds and runs the top of an encoder, where an experiment trains one.
# What turns stored features and settings into numbers; what of `heads` they import is followed from there.
_ROOTS = ("pipeline.suites.training", "pipeline.suites.shared_features", "pipeline.runs.prediction_frame")


def computation_of(planned: Planned, device: str) -> Computation:
    """device: cpu, cuda, cuda:N or mps. Of the code, only what the experiment's parts use."""
    kinds = {
        modality: {"top" if item.spec.from_top else item.spec.kind for item in items}
        for modality, items in planned.features.items()
    }
    return Computation(
        versions=_versions(has_top([planned])),
        device=device.partition(":")[0],
        precision=planned.experiment.optim.precision,
        sources=source_digests(_ROOTS, parts_of(planned.experiment, kinds)),
    )


def any_computation(device: str, with_top: bool) -> Computation:
    """The same of experiments that may use any part. with_top: whether one of them may train an encoder's top"""
    return Computation(
        versions=_versions(with_top), device=device.partition(":")[0], sources=source_digests(_ROOTS, {})
    )


def has_top(planned: Iterable[Planned]) -> bool:
    """Whether one of these experiments trains the top of an encoder."""
    return any(feature.spec.from_top for item in planned for items in item.features.values() for feature in items)


def _versions(with_top: bool) -> dict[str, str]:
    return library_versions() | ({"transformers": version("transformers")} if with_top else {})


def library_versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()}
