"""What a search leaves in its folder: search.json (what continues it), trials.csv and best.yaml."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from features.errors import RunError
from heads.config.experiment import Experiment
from heads.config.sections import Tuned
from pipeline.runs.computation import Computation
from pipeline.runs.json_files import write_json, write_text
from pipeline.runs.tried import count_tried
from pipeline.terminal.tables import percent_text


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    parameters: dotted key -> value
    state:  complete or failed
    value:  mean over seeds, or over folds; None where it failed
    values: of each seed or fold
    run:    key of its run; equal configurations have the same
    problem: why it failed, in one line
    scored: whether it failed after a seed was scored on dev, so that its run stands in a report
    """

    number: int
    parameters: dict[str, Any]
    state: str
    value: float | None = None
    values: tuple[float, ...] = ()
    run: str | None = None
    problem: str | None = None
    scored: bool = False


@dataclass
class SearchRecord:
    """search.json.

    identity: digest of all that decides what a trial's value means and which trials come next
    settings: what the search is, for people
    computation: what makes its numbers; of older records, which do not say, unknown
    """

    folder: Path
    identity: str
    settings: dict[str, Any]
    computation: Computation
    trials: list[Trial] = field(default_factory=list)

    @property
    def configurations_tried(self) -> int:
        """Different configurations whose score was seen: as many as a report on their runs counts."""
        return count_tried(
            (trial.run or f"trial {trial.number}", trial.scored or trial.value is not None) for trial in self.trials
        ).scored

    def ranked(self) -> list[Trial]:
        """Complete trials, the best first; of equal ones the earliest."""
        complete = [trial for trial in self.trials if trial.value is not None]
        return sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))

    def document(self) -> dict[str, Any]:
        best = next(iter(self.ranked()), None)
        return {
            "search": self.identity,
            **self.settings,
            "computation": self.computation.model_dump(mode="json"),
            "configurations_tried": self.configurations_tried,
            "failed": len(self.trials) - len(self.ranked()),
            "best": asdict(best) if best else None,
            "trials": [asdict(trial) for trial in self.trials],
        }


def open_record(
    folder: Path, identity: str, settings: dict[str, Any], computation: Computation, trials: int
) -> SearchRecord:
    """The record of a new search, or that of this very one with its trials.

    trials: wanted in all; where so many are there, nothing is added to them, and what made them does not matter
    Raises RunError where the folder holds another search, one whose trials were not made as new ones would be, or a
    run.
    """
    path = folder / "search.json"
    if not path.is_file():
        if (folder / "features.json").is_file():
            raise RunError(f"{folder}: holds a run, not a search: choose another --out")
        return SearchRecord(folder, identity, settings, computation)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        made = [Trial(**item | {"values": tuple(item["values"])}) for item in content["trials"]]
        found, earlier = content["search"], Computation.model_validate(content.get("computation") or {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error}): remove {folder} and search again") from error
    if found != identity:
        raise RunError(
            f"{folder}: holds a search of another space, experiment, corpus, seeds, folds or Optuna: choose another"
            " --out, or remove it"
        )
    if made and len(made) < trials and earlier.identity != computation.identity:
        raise RunError(
            f"{folder}: its {len(made)} trials were not made as new ones would be ({earlier.differs(computation)}), and"
            " a search ranks trials of one kind: choose another --out, or remove it"
        )
    return SearchRecord(folder, identity, settings, earlier if made else computation, made)


def write_record(record: SearchRecord, best: Experiment | None) -> None:
    """search.json, trials.csv and, where a trial is complete, best.yaml. best: the best trial's experiment."""
    record.folder.mkdir(parents=True, exist_ok=True)
    if best is not None:
        write_text(record.folder / "best.yaml", _best_yaml(record, best))
    write_text(record.folder / "trials.csv", _trials_csv(record))
    write_json(record.folder / "search.json", record.document())


def parameter_text(value: Any) -> str:
    """As in trials.csv and tables: text as it stands, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _trials_csv(record: SearchRecord) -> str:
    """number, state, value, a column for each searched key, problem."""
    keys = list(record.settings["space"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "state", "value", *keys, "problem"])
    for trial in record.trials:
        values = [parameter_text(trial.parameters[key]) for key in keys]
        score = "" if trial.value is None else repr(trial.value)
        writer.writerow([trial.number, trial.state, score, *values, trial.problem or ""])
    return text.getvalue()


def _best_yaml(record: SearchRecord, best: Experiment) -> str:
    """The experiment, resolved, as `erc train` takes it; `tuned` says how it was found."""
    trial, tried, objective = record.ranked()[0], record.configurations_tried, record.settings["objective"]
    score = "" if trial.value is None else f": {percent_text(trial.value)} %"
    told = replace(best, tuned=Tuned(configurations_tried=tried, selected_by=objective))
    body = {key: value for key, value in told.to_dict().items() if key != "suite"}
    head = (
        f"# Trial {trial.number}, the best of {tried} different configurations by {objective}{score}.\n"
        "# The best of many looks better than it is: see how it does on data that chose nothing.\n"
    )
    return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
