"""Actors that are killed over chunk 2, as the kernel does when memory runs out. A file says that it happened."""

from __future__ import annotations

import os
import signal

from features.engines.ray_worker import ChunkDone, ChunkTask, ChunkWorker, Trouble
from features.store import commit

CHUNK = 2


def holds_the_chunk(task: ChunkTask) -> bool:
    return any(chunk.number == CHUNK for plan in task.plans for chunk in plan.chunks)


class Dying(ChunkWorker):
    def die_once(self, reached: str = "") -> None:
        marker = self._setup.root.with_suffix(".died")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class DiesAtTheStart(Dying):
    def run(self, task: ChunkTask) -> ChunkDone | Trouble:
        if holds_the_chunk(task):
            self.die_once()
        return super().run(task)


class DiesBetweenTwoCommits(Dying):
    """The first encoder's shard of the chunk is committed, the second's is not."""

    def run(self, task: ChunkTask) -> ChunkDone | Trouble:
        if holds_the_chunk(task):
            commit.at_point = lambda reached: self.die_once() if reached == "record durable" else None
        return super().run(task)


class DiesBeforeItReports(Dying):
    def run(self, task: ChunkTask) -> ChunkDone | Trouble:
        done = super().run(task)
        if holds_the_chunk(task):
            self.die_once()
        return done


class DiesAlways(Dying):
    def run(self, task: ChunkTask) -> ChunkDone | Trouble:
        if holds_the_chunk(task):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(task)


class NeverStarts(ChunkWorker):
    def __init__(self) -> None:
        raise ImportError("no module of that name")
