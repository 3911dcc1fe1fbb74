"""How many Ray actors there are and what each reserves; what a worker is told of a chunk. No cluster is started."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_factory import make_manifest, make_spec

from features.cards import DatasetCard
from features.encoders.protocol import EncoderRequest
from features.engines.decode_pool import DecodeOptions
from features.engines.ray_cluster import Cluster, Node, Placement, connected, place_actors
from features.engines.ray_worker import ChunkWorker, Setup, Trouble, cut_task, difference
from features.errors import EngineError, UsageError
from features.extras import install_extra
from features.spec import EncoderSpec
from features.store import open_writer
from features.store.chunks import cut_chunks
from features.store.plan import PlanOptions, make_plan
from features.store.write import library_versions

LAPTOP = (Node(2, 0),)
FARM = (Node(8, 0), Node(8, 0), Node(3, 0), Node(0, 0))
GPUS = (Node(16, 2), Node(16, 1), Node(4, 0))


@pytest.mark.parametrize(
    ("nodes", "device", "threads", "asked", "expected"),
    [
        (LAPTOP, "cpu", 2, None, Placement(1, 2, 0, 2)),
        (LAPTOP, "cpu", 2, 2, Placement(2, 1, 0, 1)),
        (LAPTOP, "cpu", 2, 3, Placement(3, 0.5, 0, 1)),
        (LAPTOP, "cpu", 16, None, Placement(1, 2, 0, 2)),
        (FARM, "cpu", 4, None, Placement(4, 4, 0, 4)),
        (FARM, "cpu", 4, 5, Placement(5, 3, 0, 3)),
        (GPUS, "cuda", 4, None, Placement(3, 1, 1, 10)),
        (GPUS, "cuda", 4, 6, Placement(6, 1, 0.5, 5)),
        (GPUS, "cuda", 4, 2, Placement(2, 1, 1, 16)),
        ((Node(0, 1),), "cuda", 4, None, Placement(1, 0, 1, 1)),
    ],
)
def test_where_actors_go(
    nodes: tuple[Node, ...], device: str, threads: int, asked: int | None, expected: Placement
) -> None:
    assert place_actors(nodes, device, threads, asked) == expected


def test_every_actor_that_is_asked_for_has_room() -> None:
    """Else it would wait for ever."""
    for asked in range(1, 40):
        for nodes, device in ((LAPTOP, "cpu"), (FARM, "cpu"), (GPUS, "cpu"), (GPUS, "cuda")):
            place = place_actors(nodes, device, 4, asked)
            shares = [(node.cpus, place.cpus) for node in nodes], [(node.gpus, place.gpus) for node in nodes]
            rooms = [
                min(int(there / share + 1e-6) if share else asked for there, share in pair)
                for pair in zip(*shares, strict=True)
            ]
            assert sum(rooms) >= place.actors == asked
            assert place.cpus < 1 or place.cpus == int(place.cpus), "Ray takes no other fractions"


def test_a_cluster_without_room_and_devices_that_are_not_there() -> None:
    with pytest.raises(EngineError, match="has a CPU to give"):
        place_actors((Node(0, 0),), "cpu", 2, None)
    cluster = Cluster("local", LAPTOP)
    assert cluster.resolve_device("auto") == "cpu"
    assert Cluster("there", GPUS).resolve_device("auto") == "cuda"
    with pytest.raises(UsageError, match="no node of the Ray cluster at local has a GPU"):
        cluster.resolve_device("cuda")
    with pytest.raises(UsageError, match="give --device cuda, not 'cuda:1'"):
        Cluster("there", GPUS).resolve_device("cuda:1")


def test_ray_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.engines.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(install_extra("ray"))), connected(None):
        pass


def test_a_cluster_that_is_not_there_is_one_line_and_soon() -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and nobody listens
        address = f"127.0.0.1:{free.getsockname()[1]}"
        expected = f"no Ray cluster at {address}: .*refused: see that it runs"
        with pytest.raises(EngineError, match=expected) as caught, connected(address):
            pass
    assert "\n" not in str(caught.value)


def test_a_task_holds_the_rows_of_its_chunk_and_no_more(tmp_path: Path) -> None:
    bad = {"toy/train/dia6_utt1": "the wrong scene", "toy/train/dia0_utt0": "another"}
    manifest = make_manifest(100, media=lambda number: f"{number}.mp4", card=DatasetCard("toy", known_bad=bad))
    manifest = replace(manifest, media_root=tmp_path)
    bounds = cut_chunks(manifest.dialogue_bounds(), 35)
    specs = [make_spec(), make_spec(depends="media")]
    plans = [
        make_plan(manifest, spec, tmp_path, bounds, PlanOptions(limit=limit))
        for spec, limit in zip(specs, (60, 30), strict=True)
    ]
    assert [len(plan.chunks) for plan in plans] == [2, 1]
    task = cut_task(manifest, plans, 1)
    assert task is not None
    assert task.manifest.ids == manifest.ids[35:70]
    (chunk,), none = (plan.chunks for plan in task.plans)
    assert none == []
    assert (chunk.number, chunk.start, chunk.stop, chunk.positions) == (1, 0, 35, tuple(range(25)))
    assert task.plans[0].digests == plans[0].digests[35:70]
    assert task.plans[1].masked == {"toy/train/dia6_utt1"}
    assert cut_task(manifest, plans, 2) is None


def setup(root: Path, spec: EncoderSpec, **changes: Any) -> Setup:
    with open_writer(root, spec):
        pass
    values: dict[str, Any] = {
        "root": root,
        "requests": (EncoderRequest("surface"),),
        "specs": (spec,),
        "begun": frozenset({spec.folder}),
        "clip": None,
        "versions": library_versions(),
        "threads": 1,
        "decoding": DecodeOptions(workers=0),
    }
    return Setup(**(values | changes))


@pytest.fixture
def surface(monkeypatch: pytest.MonkeyPatch) -> EncoderSpec:
    from features.encoders.build import create

    monkeypatch.setattr("features.engines.ray_worker.pin_threads", lambda threads, loads_torch: None)

    return create(EncoderRequest("surface")).spec


def test_a_worker_computes_with_the_threads_it_is_told() -> None:
    code = "from features.engines.ray_worker import pin_threads; pin_threads(3, True); import torch"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(torch.get_num_threads())"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"


def trouble(given: Setup) -> str:
    found = ChunkWorker().set_up(given)
    assert isinstance(found, Trouble)
    assert "\n" not in found.message
    return found.message


def test_a_worker_that_sees_another_world_says_so(tmp_path: Path, surface: EncoderSpec) -> None:
    given = setup(tmp_path / "store", surface)
    assert ChunkWorker().set_up(given) is None
    assert "does not see the store at" in trouble(replace(given, root=tmp_path / "elsewhere"))
    assert "does not see" in trouble(replace(given, clip=tmp_path / "0.mp4"))
    older = library_versions() | {"numpy": "1.0"}
    assert "the machine that started the run 1.0: install the same" in trouble(replace(given, versions=older))


def test_a_worker_that_builds_another_feature_says_what_differs(tmp_path: Path, surface: EncoderSpec) -> None:
    other = replace(surface, version=surface.version + 1, weights_digest="0")
    assert "with another version, weights_digest: put the same weights" in trouble(setup(tmp_path, other))
    assert "another shape:" in difference(surface, replace(surface, shape=(5,), model="elsewhere"))
    renamed = replace(surface, alias="mine")
    worker = ChunkWorker()
    assert worker.set_up(setup(tmp_path, renamed)) is None
    assert worker._encoders[0].spec.folder == renamed.folder
