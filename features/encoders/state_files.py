"""State files: weights as tensors by name, of torchvision or RetinaFace, where no Hugging Face folder is.

Pickled code is never run: `.pth`, `.pt` and `.zip` are read with torch's `weights_only`, `.safetensors` holds no code.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.digests import weights_digest
from features.encoders.loading import RANDOM_SEED
from features.errors import WeightsError

if TYPE_CHECKING:
    import torch

SUFFIXES = (".pth", ".pt", ".zip", ".safetensors")
_MAX_BYTES = 8 << 30  # of a state file unpacked from an archive
_COUNTER = "num_batches_tracked"  # of batch norm: counts training steps, and no network in evaluation mode reads it


def is_state_file(model: str) -> bool:
    """Whether a --model value means a state file: its suffix says so."""
    return model.lower().endswith(SUFFIXES)


def read_state(path: Path, inner: str | None = None) -> Mapping[str, torch.Tensor]:
    """The tensors of a state file by name, on the CPU, in the file's dtypes.

    inner: of a training checkpoint, the name under which it holds the state
    An archive that holds one `.pth` alone, as RetinaFace's weights are published, is read through.
    Raises WeightsError where the file is absent, damaged, or holds anything but tensors by name.
    """
    import torch
    from safetensors.torch import load_file

    path = path.expanduser()
    if not path.is_file():
        raise WeightsError(f"state file {str(path)!r} is not there: give --model one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(_unpacked(path), map_location="cpu", weights_only=True)
        if inner is not None:
            state = state[inner]
    except Exception as error:  # damaged bytes fail in many ways, and torch's own text would suggest to trust the file
        raise WeightsError(
            f"state file {str(path)!r} cannot be read as tensors ({type(error).__name__}):"
            " fetch it again, or save network.state_dict() alone"
        ) from error
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(f"state file {str(path)!r} holds no tensors by name: save network.state_dict() alone")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"state file {str(path)!r} holds {type(value).__name__} {str(name)!r} among its tensors:"
                " save network.state_dict() alone"
            )
    return state  # as it is: torch keeps the versions of its modules as an attribute


def _unpacked(path: Path) -> Path | io.BytesIO:
    """What torch can read: the file itself, or the one file of an archive that is not torch's own."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            return path
        if members[0].file_size > _MAX_BYTES:
            raise ValueError(f"{members[0].file_size:,} bytes unpacked, at most {_MAX_BYTES:,}")
        return io.BytesIO(archive.read(members[0]))


def load_state(
    network: torch.nn.Module, state: Mapping[str, torch.Tensor], name: str, kind: str, spare: Collection[str] = ()
) -> str:
    """Fill a network with a state, and return the digest of its weights in the state's own dtypes.

    Every tensor of the network must be there in its shape, and no other, but for the spare ones.
    name, kind: what to call the state and the network in errors
    spare: beginnings of names that the state may have and the network lacks (`fc.`, a head that is not read)
    Counters of batch norm are neither needed nor part of the digest.
    Raises WeightsError that names what is missing, unexpected or of another shape.
    """
    wanted = {key: value for key, value in network.state_dict().items() if not key.endswith(_COUNTER)}
    given = {
        key: value
        for key, value in state.items()
        if not key.endswith(_COUNTER) and not any(key.startswith(beginning) for beginning in spare)
    }
    missing, unexpected = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    shapes = [
        f"{key} is {list(given[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if missing or unexpected or shapes:
        found = [
            f"{len(names)} {what} ({names[0]}{', ...' if len(names) > 1 else ''})"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
            if names
        ]
        raise WeightsError(f"{name} holds no {kind}: {'; '.join(found)}")
    network.load_state_dict(given, strict=False)
    return weights_digest(given)


def random_network(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A network in evaluation mode with weights drawn from RANDOM_SEED; torch's own generator stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return make().requires_grad_(False).eval()


def digest_of_network(network: torch.nn.Module) -> str:
    """The digest that `load_state` returns, of a network's own weights."""
    return weights_digest({key: value for key, value in network.state_dict().items() if not key.endswith(_COUNTER)})
