"""Which settings tell a run from the others: what the leaderboard's other columns do not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.configuration import features_of, loss_name, part_name
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.suite_record import SuiteRecord

_SHOWN = 6
_FINGERPRINT = ".fingerprint"
_NOT_SETTINGS = ("name", "suite", "paper", "tuned", "inputs")
_OTHER_COLUMNS = ("fusion.name", "context.name")  # columns of their own; so are the names of losses and features
UNSET = "none"


def differences_of(runs: Sequence[RunSnapshot], suites: Sequence[SuiteRecord] = ()) -> list[str]:
    """Of each run, the settings that are not what most of the runs have: `optim.lr 0.01, feedforward.sizes none`, the
    rarest first and at most six; empty for a run that has all of the commonest.

    Of settings that are equally common, the one of a suite's baseline, else of the first run, counts as the commonest.
    A setting of a part that a run does not have (the width of another fusion) is told only where nothing else tells two
    runs apart, the leaderboard's other columns included.
    """
    settings = [_settings(run) for run in runs]
    baselines = {suite.runs.get(suite.baseline or "") for suite in suites}
    order = sorted(range(len(runs)), key=lambda place: (runs[place].folder not in baselines, place))
    counts: dict[str, Counter[str]] = {}
    for place in order:
        for key, value in settings[place].items():
            counts.setdefault(key, Counter())[value] += 1
    commonest = {key: count.most_common(1)[0][0] for key, count in counts.items()}  # of equal ones the first seen
    found = [_rarest_first({key: one[key] for key in one if one[key] != commonest[key]}, counts) for one in settings]
    shown = [(_other_columns(run), words) for run, words in zip(runs, found, strict=True)]
    for place, one in enumerate(settings):
        twins = [other for other in range(len(runs)) if other != place and shown[other] == shown[place]]
        lacks = {key for other in twins for key in settings[other] if key not in one}
        found[place] = found[place] | {key: "unused" for key in counts if key in lacks}
    return [_words(one) for one in found]


def _other_columns(run: RunSnapshot) -> tuple[Any, ...]:
    """What the leaderboard shows of a configuration beside these settings: inputs, fusion, context and losses."""
    parts = [part_name(run.config.get(key)) for key in ("fusion", "context")]
    return features_of(run), *parts, loss_name(run.config.get("loss"))


def _rarest_first(found: Mapping[str, str], counts: Mapping[str, Counter[str]]) -> dict[str, str]:
    """A feature's fingerprint only where none of its settings differs: it follows from them."""
    told = {key.partition(".")[0] for key in found if not key.endswith(_FINGERPRINT)}
    shown = [
        key
        for key in found
        if key not in _OTHER_COLUMNS and not (key.endswith(_FINGERPRINT) and key.partition(".")[0] in told)
    ]
    return {key: found[key] for key in sorted(shown, key=lambda key: counts[key][found[key]])}


def _words(found: Mapping[str, str]) -> str:
    told = [f"{key} {value}" for key, value in found.items()]
    more = f" and {len(told) - _SHOWN} more (Provenance)" if len(told) > _SHOWN else ""
    return ", ".join(told[:_SHOWN]) + more


def _settings(run: RunSnapshot) -> dict[str, str]:
    """Every setting of a run's configuration and of its features, flattened."""
    flat: dict[str, str] = {}
    for key, value in run.config.items():
        if key not in _NOT_SETTINGS:
            _flatten(value, key, flat)
    for feature in run.features:
        _flatten(dict(feature.settings), feature.name, flat)
        flat[f"{feature.name}.model"] = str(feature.model or UNSET)
        flat[f"{feature.name}{_FINGERPRINT}"] = feature.fingerprint[:8]
    return flat


def _flatten(value: Any, key: str, flat: dict[str, str]) -> None:
    """A list of named parts, as of losses, goes by their names."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            _flatten(item, f"{key}.{name}", flat)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        for item in value:
            for name, setting in item.items():
                if name not in ("name", "weight"):  # the column of losses has them
                    _flatten(setting, f"{key}.{item['name']}.{name}", flat)
    else:
        flat[key] = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]" if value else UNSET
    if isinstance(value, bool):
        return "yes" if value else "no"
    return UNSET if value is None or value == {} else str(value)
