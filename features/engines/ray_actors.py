"""Actors of a Ray cluster that do numbered tasks, one at a time each: whoever has done one takes the next.

An actor that dies costs the task it had in hand, which is tried again with another.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

from features.engines.ray_cluster import Placement
from features.errors import EngineError

RETRIES = 3
_PATIENCE_S = 30.0
_CLOSING_S = 10.0

Notice = Callable[[str], object]


class Actor(Protocol):
    """`set_up` comes first; `run` does a task; `close` ends what the actor holds."""

    def set_up(self, setup: Any) -> Any: ...
    def run(self, task: Any) -> Any: ...
    def close(self) -> None: ...


class Tasks(Protocol):
    """What actors do, by number."""

    def task(self, number: int) -> Any:
        """What an actor is given, None where nothing is left to do."""

    def name(self, number: int) -> str:
        """In words, as in "chunk 3"."""

    def died(self, number: int) -> None:
        """Its actor did, and it is not tried again yet."""


class Killed:
    """The answer of a task that killed as many actors as it was given."""

    def __str__(self) -> str:
        return f"killed its worker {RETRIES + 1} times"


class ActorPool:
    """A context: its actors end with it.

    worker:    the class of an actor; setup: what each is set up with
    tasks:     what they do
    placement: how many actors, and what each reserves
    notice:    is told of actors that died or do not start
    starting:  what an actor does before its first task, as in "to start and load the encoders"
    """

    def __init__(
        self,
        worker: type[Actor],
        setup: Any,
        tasks: Tasks,
        placement: Placement,
        notice: Notice,
        starting: str = "to start",
    ) -> None:
        import ray

        self._worker = worker
        self._setup = ray.put(setup)
        self._tasks = tasks
        self._placement = placement
        self._notice = notice
        self._starting = starting
        self._waiting: deque[int] = deque()
        self._deaths: Counter[int] = Counter()
        self._false_starts = 0
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._in_hand: dict[Any, tuple[Any, int | None]] = {}  # answer to come -> actor, its task (None: being set up)

    def __enter__(self) -> ActorPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the actors: those in hand at once, idle ones with what they hold."""
        import ray

        closing = [actor.close.remote() for actor in self._idle]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSING_S)
        for actor in self._alive:
            ray.kill(actor)

    def answers(self, numbers: Iterable[int]) -> Iterator[tuple[int | None, Any]]:
        """Start the actors and do these tasks: the number of each and its answer, or Killed, as they end; None and its
        answer for each actor that was set up. An actor has its next task once its answer was taken.

        Raises EngineError where actors do not start, and what an actor raised.
        """
        import ray

        self._waiting.extend(numbers)
        for _ in range(self._placement.actors):
            self._start()
        while self._in_hand:
            ready, _ = ray.wait(list(self._in_hand), num_returns=1, timeout=_PATIENCE_S)
            if not ready:
                self._say_what_is_waited_for()
                continue
            actor, number = self._in_hand.pop(ready[0])
            try:
                answer = ray.get(ready[0])
            except ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None
            except ray.exceptions.RayError as error:
                self._bury(actor, number, error)
                if number is not None and self._deaths[number] > RETRIES:
                    yield number, Killed()
                continue
            yield number, answer
            self._hand_on(actor)

    def _start(self) -> None:
        import ray

        place = {"num_cpus": self._placement.cpus, "num_gpus": self._placement.gpus, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(self._worker).options(max_restarts=0, max_task_retries=0, **place).remote()
        self._alive.append(actor)
        self._in_hand[actor.set_up.remote(self._setup)] = (actor, None)

    def _hand_on(self, actor: Any) -> None:
        """Give the actor the next task, or let it rest."""
        while self._waiting:
            number = self._waiting.popleft()
            task = self._tasks.task(number)
            if task is not None:
                self._in_hand[actor.run.remote(task)] = (actor, number)
                return
        self._idle.append(actor)

    def _bury(self, actor: Any, number: int | None, error: Exception) -> None:
        """An actor is gone: its task waits for another one."""
        import ray

        ray.kill(actor)  # it may only be out of reach
        self._alive.remove(actor)
        if number is None:
            self._false_starts += 1
            if self._false_starts > RETRIES:
                lines = [line for line in str(error).splitlines() if line.strip()]
                reason = lines[-1].strip() if lines else type(error).__name__
                raise EngineError(f"workers of Ray do not start: {reason} (is this package installed on every node?)")
        else:
            self._tasks.died(number)
            self._deaths[number] += 1
            if self._deaths[number] <= RETRIES:
                self._waiting.appendleft(number)
                told = f"retry {self._deaths[number]} of {RETRIES}"
                self._notice(f"a worker died over {self._tasks.name(number)}: {told}")
        if self._waiting and self._idle:
            self._hand_on(self._idle.pop())
        elif self._waiting:
            self._start()

    def _say_what_is_waited_for(self) -> None:
        starting = sum(number is None for _, number in self._in_hand.values())
        if starting == len(self._in_hand):
            reserved = f"{self._placement.gpus:g} GPU" if self._placement.gpus else f"{self._placement.cpus:g} CPU"
            self._notice(f"waiting for {starting} Ray workers, each with {reserved}, {self._starting}")
