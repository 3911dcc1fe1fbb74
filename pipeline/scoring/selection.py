"""Which runs an evaluation scores: all that are given, or only the best on dev and the suites' baselines.

Choosing by dev alone, and reading test for what was chosen and no more, keeps a test score from being the best of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from features.errors import RunError, UsageError, nearest
from pipeline.runs.folder import Run, is_run, told_apart
from pipeline.runs.ranking import Candidate, Ranking, asked_beside, corpus_of, fewer_text, rank, suites_beside
from pipeline.runs.tried import count_tried
from pipeline.runs.unlike import unlike_text
from pipeline.terminal.tables import percent_text

BEST_DEV, BASELINE = "best-dev", "baseline"
WORDS = (BEST_DEV, BASELINE)


@dataclass
class Selection:
    """reasons: run -> why it was chosen, in a line each; notes: what a user should know of the choice."""

    reasons: dict[Run, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Run]:
        return list(self.reasons)

    def add(self, run: Run, reason: str) -> None:
        same = next((known for known in self.reasons if known.path.resolve() == run.path.resolve()), run)
        self.reasons.setdefault(same, []).append(reason)


def parse_words(text: str) -> list[str]:
    """`best-dev,baseline` as a list. Raises UsageError for a word that does not exist."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in WORDS:
            raise UsageError(f"--select {text!r}: no choice {word!r}: {nearest(word, WORDS)}")
    return list(dict.fromkeys(words))


def select_runs(runs: Sequence[Run], words: Sequence[str]) -> Selection:
    """The runs that these words name, each once.

    best-dev: of each corpus, the run with the highest mean on dev of the score that the corpus is judged by, among
              those with as many seeds as `pipeline.runs.ranking` asks for; of equal ones the first by folder name
    baseline: the experiment that each suite beside the runs declares, of suites that some of the runs belong to
    Raises RunError where there is none, and for damaged metrics-dev.json, features.json or suite-NAME.json.
    """
    selection = Selection()
    if BEST_DEV in words:
        _add_best(selection, runs)
    if BASELINE in words:
        _add_baselines(selection, runs)
    return selection


def _add_best(selection: Selection, runs: Sequence[Run]) -> None:
    corpora: dict[tuple[str | None, ...], list[Candidate[Run]]] = {}
    attempts: dict[tuple[str | None, ...], list[tuple[str, bool]]] = {}
    without = []
    for run in runs:
        if not (run.path / "metrics-dev.json").is_file():
            without.append(run.path.name)
            continue
        corpus = corpus_of(run)
        dev = run.metrics("dev")
        candidate = Candidate(run, run.path.resolve().name, dev.headline_score.mean, len(dev.seeds))
        corpora.setdefault(corpus, []).append(candidate)
        attempts.setdefault(corpus, []).append((run.configuration, True))
    if without and corpora:
        selection.notes.append(
            f"{len(without)} of {len(runs)} runs have no dev scores and are passed over: {without[0]}, ..."
        )
    if not corpora:
        raise RunError(f"{runs[0].path}: has no metrics-dev.json to choose by: run `erc ablate` or `erc train` again")
    for corpus, candidates in corpora.items():
        given, asked = max(one.seeds for one in candidates), asked_beside([one.item for one in candidates])
        ranking = rank(candidates, min(given, asked))
        best = ranking.ranked[0]
        criterion, score = best.features.manifest.criterion, best.metrics("dev").headline_score.mean
        selection.add(
            best, f"best on dev of {count_tried(attempts[corpus]).scored} ({criterion.words} {percent_text(score)} %)"
        )
        selection.notes += _remarks(ranking, asked)
        unlike = unlike_text(one.item for one in candidates) if len(candidates) > 1 else ""
        if unlike:
            selection.notes.append(
                f"the runs to choose from were not made alike ({unlike}), which their scores on dev hold, too: the same"
                " `erc ablate` or `erc train` trains again what was not made as today"
            )


def _remarks(ranking: Ranking[Run], asked: int) -> list[str]:
    """What a choice rests on. asked: how many seeds the suite beside the runs has, whether or not it was given."""
    notes = []
    if ranking.fewer:
        seeds = [len(run.metrics("dev").seeds) for run in ranking.fewer]
        named = list(zip(told_apart(ranking.fewer), seeds, strict=True))
        notes.append(f"not chosen from: {fewer_text(named, ranking.asked)}")
    if ranking.asked < asked:
        notes.append(
            f"every given run has fewer than the {asked} seeds of the suite beside them: the report ranks none of them"
        )
    return [*notes, ranking.note] if ranking.note else notes


def _add_baselines(selection: Selection, runs: Sequence[Run]) -> None:
    found, undeclared = False, []
    for file, record in suites_beside(run.path for run in runs):
        name = record.baseline
        if name is None:
            undeclared.append(record.suite)
            continue
        path = file.parent / record.runs.get(name, "")
        if name not in record.runs or not is_run(path):
            raise RunError(
                f"{file}: its baseline {name!r} has no run here: train it with `erc ablate {record.suite}"
                f" --out {file.parent}`, or leave `{BASELINE}` out of --select"
            )
        selection.add(Run(path), f"baseline of suite {record.suite}")
        found = True
    if found:
        selection.notes += [f"suite {name} declares no baseline" for name in undeclared]
    elif undeclared:
        raise RunError(
            f"suite {', '.join(undeclared)} declares no baseline: add `baseline: EXPERIMENT` to its YAML and run"
            f" `erc ablate` again, or leave `{BASELINE}` out of --select"
        )
    else:
        folders = dict.fromkeys(str(run.path.resolve().parent) for run in runs)
        raise RunError(
            f"{', '.join(folders)}: no suite-NAME.json beside the runs names one of them, so no baseline is"
            f" known: give runs of `erc ablate`, or leave `{BASELINE}` out of --select"
        )
