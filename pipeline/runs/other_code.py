"""Whether the code that makes a head's outputs is today what it was when the head was trained.

Narrower than what tells seeds apart (`pipeline.runs.computation`): a head says the same wherever it was trained. What
counts is the way from stored features to probabilities: reading and normalising them, readers, contexts, fusion, feed-
forward, the head itself, and a loss that decides. A file counts whole. For the top of an encoder, so does the version
of transformers, which builds it. Trainer, optimiser, samplers, losses that decide nothing, the device, and the versions
of torch and numpy do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from features.digests import digest_of
from heads.config.experiment import Experiment
from heads.source_code import parts_of, source_digests
from pipeline.runs.computation import Computation, named_changes, result_of
from pipeline.runs.folder import Run

OTHER_CODE = "other-code"
"""RUN/other-code/DIGEST/ holds what was scored by other code than trained the run, in the files of a run."""

_BUILDS_TOPS = "transformers"
_ROOT = "heads.predict"
# What the root leads to without its having a part in a head's output.
_NO_PART = frozenset(
    {
        "features",  # the names that the package offers
        "heads.config.sections",  # which keys a config has: the run's own has a value for each
        "heads.config.registry",  # how a name is looked up
        "heads.criterion",  # the score that chose the epoch
        "heads.losses",  # how losses are summed
        "heads.losses.decision",  # what a loss that decides has to have
        "heads.readers.checkpointing",  # memory in training
        "heads.signals",  # what is handed to losses and samplers
    }
)


@dataclass(frozen=True)
class SinceTraining:
    """changed: what is another today, in words; empty where nothing is that was recorded
    code:    digest of what counts, as it is today
    unknown: seeds that do not say what code trained them
    made_by: the version that trained those that do, in words
    """

    changed: str
    code: str
    unknown: tuple[int, ...] = ()
    made_by: str = ""

    def warning(self, run: Run) -> str:
        """For predictions that are made all the same; empty where there is nothing to say."""
        if self.changed:
            return (
                f"{run.path}: since it was trained, {self.changed} changed: its heads may say something else than they"
                f" learnt to. Train again, or use the version that trained it ({self.made_by})"
            )
        if self.unknown:
            seeds = ", ".join(map(str, self.unknown))
            return f"{run.path}: the code that trained it was not recorded (seed {seeds}): today's is used"
        return ""


def since_training(run: Run, seeds: Sequence[int]) -> SinceTraining:
    """Compares what these seeds recorded with today's code. Raises UsageError where its sources are not installed."""
    kinds: dict[str, set[str]] = {}
    for use in run.features.features:
        kinds.setdefault(use.modality, set()).add(use.read_as)
    today = sources_that_predict(run.experiment, kinds)
    builder = version(_BUILDS_TOPS) if any("top" in own for own in kinds.values()) else None
    found: dict[str, None] = {}
    unknown, made_by = [], dict[str, None]()
    for seed in seeds:
        result = result_of(run, seed)
        made = Computation.of(result)
        if not made.known:
            unknown.append(seed)
            continue
        made_by[_version_of(made, result.commit)] = None
        then = {name: made.sources.get(name) for name in today}
        if then != today:
            found[f"the code of {named_changes(then, today)}"] = None
        before = made.versions.get(_BUILDS_TOPS)
        if builder and before and before != builder:
            found[f"{_BUILDS_TOPS} ({before}, now {builder})"] = None
    code = digest_of("predicting", today, builder)
    return SinceTraining(" and ".join(found), code, tuple(unknown), " or ".join(made_by))


def sources_that_predict(experiment: Experiment, kinds: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Module -> digest of what counts today, named as result.json names it. kinds: of `heads.source_code.parts_of`."""
    from heads.losses import LOSSES

    # As `heads.losses.WeightedSum` chooses it.
    deciding = next((term.name for term in experiment.loss if LOSSES[term.name].decides), None)
    parts = parts_of(experiment, kinds) | {"LOSSES": frozenset({deciding} if deciding else ())}
    roots = [_ROOT, *([LOSSES[deciding].__module__] if deciding else [])]
    found = source_digests(roots, parts)
    return {name: digest for name, digest in found.items() if name.partition(":")[0] not in _NO_PART}


def _version_of(made: Computation, commit: str | None) -> str:
    package = "erc-feature-store"
    return f"{package} {made.versions.get(package, 'of an unknown version')}" + (f", commit {commit}" if commit else "")
