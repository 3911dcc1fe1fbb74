"""Top: the last layers of an encoder as a description and named tensors, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from features.digests import canonical_json, weights_digest
from features.errors import FormatError, StoreError

if TYPE_CHECKING:
    import torch

Entrance = Literal["tokens", "frames"]
FORMAT = 1
_METADATA = "top"


@dataclass(frozen=True)
class TopDescription:
    """How the layers are called: all that is needed to build them again, but for the tensors.

    entrance:  what the network is called with: token ids (`tokens`), or the frames of a speech model (`frames`)
    config:    the network's transformers config, as JSON values
    attention: the implementation of attention, as transformers names it
    layers:    the name of the list of layers within the network
    first:     the place in it of the first layer that is kept; `from_top` are kept
    passed:    for each layer below that is left out, what it gives besides the hidden states it was given: null where
               it gives them alone, else a list, of each further value the keyword or place of the argument that it
               passes on, or null
    blank:     modules below the layers whose results nobody reads, and so have no weights: name -> width of what they
               give, or null where that is what they are given
    absent:    modules of the network that were taken off it, since nothing reads what they give (a pooler)
    padded:    whether windows may be padded to a batch; else each runs alone
    width:     of the states that come in
    width_out: of those that go out
    parameters, buffers: name -> [dtype, shape] of what is trained, and of what is not
    """

    entrance: Entrance
    config: dict[str, Any]
    attention: str
    layers: str
    first: int
    from_top: int
    passed: list[list[Any] | None]
    blank: dict[str, int | None]
    absent: list[str]
    padded: bool
    width: int
    width_out: int
    parameters: dict[str, list[Any]]
    buffers: dict[str, list[Any]]

    def to_json(self) -> str:
        return canonical_json(asdict(self) | {"format": FORMAT})

    @classmethod
    def from_json(cls, text: str, where: str) -> TopDescription:
        """Raises StoreError where the text is none, FormatError where a later version wrote it."""
        try:
            values = json.loads(text)
            found = values.pop("format")
            if found == FORMAT:
                return cls(**{item.name: values[item.name] for item in fields(cls)})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(f"{where}: describes no top of an encoder ({type(error).__name__}: {error})") from error
        raise FormatError(
            f"{where}: is of format {found}, this version reads {FORMAT}: a later version wrote it: upgrade"
        )


@dataclass(frozen=True)
class Top:
    """tensors: float32 parameters, and buffers in their own dtypes, on the CPU."""

    description: TopDescription
    tensors: dict[str, torch.Tensor]

    @cached_property
    def content(self) -> bytes:
        """The safetensors file; equal tops give equal bytes."""
        from safetensors.torch import save

        content: bytes = save(self.tensors, {_METADATA: self.description.to_json()})
        return content

    @property
    def digest(self) -> str:
        """sha256 (hex) over the parameters: what a fingerprint holds. The rest of the file may differ from one version
        of transformers to the next and compute the same."""
        return weights_digest({name: self.tensors[name] for name in self.description.parameters})

    @classmethod
    def parse(cls, content: bytes, where: str) -> Top:
        """Raises StoreError where the content is no such file, or its tensors are not those that it describes."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        description = described(content, where)
        try:
            tensors = load(content)
        except SafetensorError as error:
            raise StoreError(f"{where}: is not a whole safetensors file ({error})") from error
        wanted = description.parameters | description.buffers
        if {name: signature(tensor) for name, tensor in tensors.items()} != wanted:
            raise StoreError(f"{where}: its tensors are not those that it describes")
        return cls(description, tensors)


def described(content: bytes, where: str) -> TopDescription:
    """The description within a file's content. Raises StoreError where there is none."""
    try:
        size = int.from_bytes(content[:8], "little")
        text = json.loads(content[8 : 8 + size])["__metadata__"][_METADATA]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{where}: is no file of an encoder's top ({type(error).__name__}: {error})") from error
    return TopDescription.from_json(text, where)


def signature(tensor: torch.Tensor) -> list[Any]:
    """[dtype, shape] as JSON values."""
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
