"""A Ray cluster: connecting to it, what it has, and how many encoding actors it is asked to hold.

Ray is the extra `ray`, and is imported only here and in `ray`, inside functions.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from features.encoders.devices import resolve_dtype
from features.errors import EngineError, UsageError
from features.extras import install_extra

_OBJECT_STORE_BYTES = 128 * 2**20  # Ray's own default is a third of the memory; chunks' tasks are small
_ANSWER_S = 10.0
_MEND = "see that it runs (`ray status`), with the same version of Ray and the same $RAY_AUTH_TOKEN as here"
_LEAST_SHARE = 1_000  # actors of one CPU or GPU, at most
_RESOURCE_UNITS = 10_000  # Ray counts resources in ten-thousandths


@dataclass(frozen=True)
class Node:
    """What Ray may give away of one machine."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Placement:
    """How many actors, what each reserves, and its decoding processes where their number is left to us."""

    actors: int
    cpus: float
    gpus: float
    workers: int


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to. address: as the user gave it, or `local`"""

    address: str
    nodes: tuple[Node, ...]

    def resolve_device(self, device: str) -> str:
        """`cpu` or `cuda` for what --device says; `auto` is `cuda` where the cluster has a GPU.

        Raises UsageError for another name, and for `cuda` where there is no GPU.
        """
        has_gpu = any(node.gpus for node in self.nodes)
        if device == "auto":
            return "cuda" if has_gpu else "cpu"
        if device not in ("cpu", "cuda"):
            raise UsageError(f"--engine ray chooses the GPUs itself: give --device cuda, not {device!r}")
        if device == "cuda" and not has_gpu:
            raise UsageError(f"device 'cuda' is not there: no node of the Ray cluster at {self.address} has a GPU")
        return device

    def preferred_dtype(self, device: str) -> str:
        """What --dtype auto means there, as `devices.resolve_dtype` does: a GPU of the cluster is asked."""
        if device == "cpu":
            return resolve_dtype("auto", device)
        import ray

        ask = ray.remote(num_gpus=1, max_retries=0)(resolve_dtype)
        answer: str = ray.get(ask.remote("auto", device))
        return answer


def place_actors(nodes: Sequence[Node], device: str, threads: int, asked: int | None) -> Placement:
    """Where the actors go: `asked` of them, else as many as there are GPUs, or CPUs for `threads` each.

    Where more are asked for, each reserves less: half a GPU, or fewer CPUs than it has threads.
    Raises EngineError where the cluster has no room for even one.
    """
    used = [node for node in nodes if (node.gpus if device == "cuda" else node.cpus) > 0]
    if not used:
        raise EngineError(f"no node of the Ray cluster has a {'GPU' if device == 'cuda' else 'CPU'} to give")
    rooms = [node.gpus if device == "cuda" else node.cpus for node in used]
    largest = 1 if device == "cuda" else max(min(threads, int(max(rooms))), 1)
    shares = [float(share) for share in range(largest, 0, -1)]
    shares += [int(_RESOURCE_UNITS / part) / _RESOURCE_UNITS for part in range(2, _LEAST_SHARE + 1)]
    if asked is None:
        share = next((share for share in shares if _fitting(rooms, share)), shares[-1])
        actors = _fitting(rooms, share)
    else:
        share = next((share for share in shares if _fitting(rooms, share) >= asked), shares[-1])
        actors = asked
    workers = max(int(sum(node.cpus for node in used) / max(actors, 1)), 1)
    if device == "cpu":
        return Placement(actors, share, 0.0, workers)
    has_cpus = all(node.cpus >= _fitting([node.gpus], share) for node in used)
    return Placement(actors, 1.0 if has_cpus else 0.0, share, workers)


def _fitting(rooms: Sequence[float], share: float) -> int:
    """How many shares the nodes hold; none is split over two of them."""
    return sum(int(room / share + 1e-6) for room in rooms)


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, else to that of $RAY_ADDRESS, else start one on this machine, and leave it.

    Raises UsageError where Ray is not installed, EngineError where the cluster does not answer.
    """
    if find_spec("ray") is None:
        raise UsageError(f"--engine ray needs Ray: {install_extra('ray')}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers unless the user says so
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    where = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_port(where)
    options: dict[str, Any] = {}
    if where == "local":
        options = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    with _signals_kept():
        try:
            ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EngineError(f"no Ray cluster at {where}: {reason}: {_MEND}") from error
    _hush()
    try:
        nodes = [
            Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in ray.nodes()
            if node["Alive"]
        ]
        yield Cluster(where, tuple(nodes))
    finally:
        ray.shutdown()


def _check_port(address: str) -> None:
    """Raises EngineError where nothing listens at HOST:PORT; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isdecimal() and port.isascii()) or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"no Ray cluster at {address}: {error}: {_MEND}") from error


def _hush() -> None:
    """Ray prints on stdout, where --json has its document, that a worker died. The engine says so itself."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *arguments, **keywords: None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray answers SIGTERM its own way once it is connected; our answer is put back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
