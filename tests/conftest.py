"""Fixtures that tests of every part share."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import hypothesis
import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# Under nohup SIGHUP is ignored, in the background of a script SIGINT, and so they are in all that tests start: those of
# interruption would find nothing stopped.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


# As in an environment that is activated: `pip` is this Python's, and errors tell of it so.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


# As `pipeline.cli.main` has it, here and in all that tests start: threads with nothing to do wait, where they would
# take the cores from the other worker's tests. Read when torch and numpy are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2**4 ticks; else 2**26


# Processes that the packages start anew are forked here, from one server that has imported what they need: each would
# take a second or more to import it again. They are whole processes all the same; what runs `erc` as a process of its
# own starts its processes as a user's does.
_PRELOADED = [
    "sklearn.metrics",
    "heads.training.checkpoint",
    "heads.training.trainer",
    "pipeline.runs.prediction_frame",
    "pipeline.suites.workers",
    "features.engines.decode_pool",
    "features.encoders.audio.logmel",
    "features.encoders.visual.hog_colour",
    "features.media.clip",
    "pipeline.commands.extraction",
    "pipeline.sample.corpus",
    "pyarrow.parquet",
]
if "forkserver" in multiprocessing.get_all_start_methods():
    _get_context, _preload = multiprocessing.get_context, forkserver.set_forkserver_preload
    _preload(_PRELOADED)
    # Whoever asks first starts the server, for all.
    forkserver.set_forkserver_preload = lambda names: _preload([*dict.fromkeys([*_PRELOADED, *names])])
    multiprocessing.get_context = lambda method=None: _get_context("forkserver" if method == "spawn" else method)


# No time limit in a test: on a busy machine the same example takes a hundred times as long.
hypothesis.settings.register_profile("busy-machine", deadline=None)
hypothesis.settings.load_profile("busy-machine")


def pytest_collection_finish() -> None:
    """Seven thousand tests and the libraries stay: no collection of garbage looks through them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the package remembers of this machine goes to a folder of the tests' own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ERC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real MELD text, clip and tokenizer beside the project; skips where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data: the real MELD text and clip are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: small networks are as fast so, and other processes are not in the way."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tf32() -> Iterator[None]:
    """TF32 allowed on a GPU, whatever ran in this process before, and afterwards as it was."""
    from torch.backends import cuda, cudnn

    before = cuda.matmul.allow_tf32, cudnn.allow_tf32
    cuda.matmul.allow_tf32 = cudnn.allow_tf32 = True
    yield
    cuda.matmul.allow_tf32, cudnn.allow_tf32 = before
