"""Actors of Ray that are killed, or that find otherwise than the driver."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

from pipeline.suites.ray_worker import Answer, HeadTask, HeadTrainer


class DiesOnce(HeadTrainer):
    """Killed over seed 1 of `both` by the kernel, the first time."""

    def run(self, task: HeadTask) -> Answer:
        mark = Path(task.run).parent.parent / "died"
        if (task.experiment.name, task.seed) == ("both", 1) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(task)


class DiesAlways(HeadTrainer):
    def run(self, task: HeadTask) -> Answer:
        if (task.experiment.name, task.seed) == ("both", 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(task)


class HasAnotherTorch(HeadTrainer):
    def run(self, task: HeadTask) -> Answer:
        told = replace_version(task)
        return super().run(told)


def replace_version(task: HeadTask) -> HeadTask:
    versions = {**task.computation.versions, "torch": "1.0"}
    return replace(task, computation=task.computation.model_copy(update={"versions": versions}))


class SeesNoStore(HeadTrainer):
    def set_up(self, rows: tuple) -> Answer:  # type: ignore[type-arg]
        return super().set_up(tuple(replace(item, store=Path("/nowhere/store")) for item in rows))
