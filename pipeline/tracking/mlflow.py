"""MLflow, by its own client: a suite is an experiment there, its run the parent of the experiments' and of the seeds'.

Where MLFLOW_TRACKING_URI names no server it is a SQLite file: MLflow takes no folders of files any more.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from features.digests import digest_of
from features.errors import UsageError
from pipeline.tracking.item import Content, Item
from pipeline.tracking.ledger import Destination

if TYPE_CHECKING:
    from mlflow import MlflowClient

Part = TypeVar("Part")

_PARENT = "mlflow.parentRunId"
_FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in names of metrics, parameters and tags
_LONGEST = {"key": 250, "parameter": 6000, "tag": 5000}
_AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}
# Unless they are set: a server that is away is told of within a minute, and not after ten; MLflow's makers are told
# nothing.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowTracker:
    """folder: of mlflow.db and artifacts/, where no server is named."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError for a folder that no address of SQLite can name."""
        self._folder = folder
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        self.destination: Destination = _without_secrets(self._uri) if self._uri else folder
        if not self._uri and any(sign in str(folder.resolve()) for sign in "%?"):
            raise UsageError(f"{folder}: MLflow's file cannot lie in a folder with % or ? in its name: rename it")
        self._experiments: dict[str, str] = {}

    def is_there(self, name: str) -> bool:
        return bool(self._uri) or (self._folder / "mlflow.db").is_file()

    def open(self, item: Item, parent: str | None) -> str | None:
        return self._create(item, parent, None)

    def send(self, item: Item, content: Content, parent: str | None, earlier: str | None, opened: bool) -> str:
        """An earlier one is deleted, as MLflow deletes: `mlflow gc` takes it away, until then it can be restored. Its
        parts go over to the new one."""
        name = earlier if earlier and opened else self._create(item, parent, content.began_s)
        self._log(name, content)
        for path, file in content.files.items():
            folder = path.rpartition("/")[0]
            self._client.log_artifact(name, str(file), folder or None)
        self._client.set_terminated(name, "FINISHED", _milliseconds(content.ended_s))
        if earlier and earlier != name:
            self._replace(item, earlier, name)
        return name

    @cached_property
    def _client(self) -> MlflowClient:
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for logger in ("mlflow", "alembic"):  # they tell of every table of a new database, and of every try
            logging.getLogger(logger).setLevel(logging.ERROR)
        if self._uri:
            return MlflowClient(tracking_uri=self._uri)
        self._folder.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=f"sqlite:///{self._folder.resolve() / 'mlflow.db'}")

    def _experiment(self, group: str) -> str:
        """Its number. MLFLOW_EXPERIMENT_NAME counts more than the suite's name."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or group
        if name not in self._experiments:
            known = self._client.get_experiment_by_name(name)
            place = None if self._uri else (self._folder.resolve() / "artifacts").as_uri()
            self._experiments[name] = (
                known.experiment_id if known else self._client.create_experiment(name, artifact_location=place)
            )
        return self._experiments[name]

    def _create(self, item: Item, parent: str | None, began_s: float | None) -> str:
        tags = {"erc.kind": item.kind, "erc.suite": item.group}
        run = self._client.create_run(
            self._experiment(item.group),
            start_time=None if began_s is None else _milliseconds(began_s),
            tags=tags | ({_PARENT: parent} if parent else {}),
            run_name=item.name,
        )
        return str(run.info.run_id)

    def _log(self, name: str, content: Content) -> None:
        from mlflow.entities import Metric, Param, RunTag

        ended = _milliseconds(content.ended_s)
        keys = _keys([*(key for point in content.points for key in point.values), *content.numbers])
        metrics = [
            Metric(keys[key], value, _milliseconds(point.time_s), point.epoch)
            for point in content.points
            for key, value in point.values.items()
        ]
        metrics += [Metric(keys[key], value, ended, 0) for key, value in content.numbers.items()]
        parameters = _texts(content.parameters, "parameter")
        tags = {f"erc.{key}": value for key, value in _texts(content.environment, "tag").items()}
        for some in _parts(metrics, _AT_ONCE["metrics"]):
            self._client.log_batch(name, metrics=some)
        for some in _parts([Param(*pair) for pair in parameters.items()], _AT_ONCE["params"]):
            self._client.log_batch(name, params=some)
        for some in _parts([RunTag(*pair) for pair in tags.items()], _AT_ONCE["tags"]):
            self._client.log_batch(name, tags=some)

    def _replace(self, item: Item, earlier: str, name: str) -> None:
        children = f"tags.`{_PARENT}` = '{earlier}'"
        for child in self._client.search_runs([self._experiment(item.group)], children, max_results=10_000):
            self._client.set_tag(child.info.run_id, _PARENT, name)
        self._client.delete_run(earlier)


def _keys(names: Iterable[str]) -> dict[str, str]:
    """Names as MLflow takes them. One that has to be changed into what another is, too, ends in a digest of itself."""
    longest = _LONGEST["key"]
    changed = {name: _FORBIDDEN.sub("_", name)[:longest] for name in names}
    shared = {key for key, number in Counter(changed.values()).items() if number > 1}
    return {
        name: key if key == name or key not in shared else f"{key[: longest - 9]}-{digest_of('key', name)[:8]}"
        for name, key in changed.items()
    }


def _texts(values: Mapping[str, Any], kind: str) -> dict[str, str]:
    """As MLflow takes them; what is longer is cut, and whole in the files beside it."""
    keys = _keys(values)
    return {keys[name]: str(value)[: _LONGEST[kind]] for name, value in values.items()}


def _parts(items: Sequence[Part], size: int) -> Iterator[list[Part]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _without_secrets(address: str) -> str:
    """An address without the user and password that it may hold."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address
