"""What is told while heads are trained: the last epoch on the bar, with -v each one; a line a finished experiment."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.cards import HEADLINES
from features.errors import ErcError
from pipeline.runs.folder import Run
from pipeline.runs.metrics_file import Score
from pipeline.runs.seed_log import LogReader
from pipeline.suites.training import SeedTask
from pipeline.terminal.loudness import is_quiet, is_verbose
from pipeline.terminal.tables import mean_and_deviation

_LOOK_EVERY_S = 1.0


class Watch:
    """Of the heads that one command trains. bar: a tqdm bar over them"""

    def __init__(self, tasks: Sequence[SeedTask], bar: Any) -> None:
        self._bar = bar
        self._lock = threading.Lock()
        self._logs = {(task.run, task.seed): (task, LogReader(Run(task.run).seed_folder(task.seed))) for task in tasks}
        for _, log in self._logs.values():
            log.new_lines()  # of a training of before
        self._left = Counter(task.experiment.name for task in tasks)
        self._runs: dict[str, set[Path]] = {}
        for task in tasks:
            self._runs.setdefault(task.experiment.name, set()).add(task.run)
        self._experiments, self._done = len(self._left), 0

    def look(self) -> None:
        """Tell what logs have got since the last look."""
        with self._lock:
            for task, log in list(self._logs.values()):
                for line in log.new_lines():
                    told = line.partition("  ")[2]
                    if told.startswith("epoch"):
                        self._tell(f"{task.experiment.name}, seed {task.seed}: {told}")

    def _tell(self, text: str) -> None:
        if is_verbose():
            self._bar.write(text, file=sys.stderr)
        else:
            self._bar.set_postfix_str(text.partition(" (")[0])

    def ended(self, task: SeedTask) -> None:
        """A head is trained, or has failed."""
        self.look()
        self._logs.pop((task.run, task.seed), None)
        name = task.experiment.name
        self._left[name] -= 1
        if self._left[name]:
            return
        self._done += 1
        if self._experiments > 1 and not is_quiet() and (line := _line(task, self._runs[name])):
            self._bar.write(f"{line} ({self._done} of {self._experiments})", file=sys.stderr)


def _line(task: SeedTask, runs: Collection[Path]) -> str:
    """An experiment, all of whose heads were trained, over its folds where there are several; nothing where none has a
    result."""
    try:
        results = [run.result(seed) for run in map(Run, sorted(runs)) for seed in run.finished_seeds()]
    except ErcError:
        return ""
    scores = [result.dev_headline if result.dev_headline is not None else result.dev_weighted_f1 for result in results]
    known = [score for score in scores if score is not None]
    if not known:
        return ""
    words = HEADLINES[task.utterances.criterion.name]
    heads = f"{len(known)} head{'s' if len(known) > 1 else ''}"
    return f"{task.experiment.name}: dev {words} {mean_and_deviation(Score.of(known))} %, {heads}"


@contextmanager
def watching(tasks: Sequence[SeedTask], bar: Any) -> Iterator[Watch]:
    """Looks at the logs from time to time, where somebody sees what it tells."""
    watch = Watch(tasks, bar)
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    if tasks and (is_verbose() or not bar.disable):
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
