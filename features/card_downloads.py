"""The `downloads` of a dataset card: where `erc download` fetches a corpus from, or who must be asked for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from features.errors import nearest

_FILE_NAME = re.compile(r"[A-Za-z0-9_][\w.+ -]*")
_COMMAND = re.compile(r"[\w ./=:,-]+")  # it is printed to be typed
_REPOSITORY = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
RECORD = "downloads.json"  # no file of a corpus may take its place

Gigabytes = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Source(BaseModel, frozen=True, extra="forbid", strict=True):
    """What all kinds have.

    holds:    what it is, in a few words
    about_gb: its size, where no exact one is known
    unpack:   whether archives are unpacked
    """

    holds: str = ""
    about_gb: Gigabytes | None = None
    unpack: bool = True


class AddressSource(_Source, frozen=True):
    """A file at a plain address.

    address: http or https
    file:    the name that it gets; by default the end of the address
    bytes, sha256, md5: of the file, where they are known
    """

    address: str
    file: str = ""
    bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None

    @field_validator("address")
    @classmethod
    def _is_web(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("must be http://... or https://..., without a user's name")
        return address

    @model_validator(mode="after")
    def _has_name(self) -> AddressSource:
        if not _FILE_NAME.fullmatch(self.name) or self.name == RECORD:
            raise ValueError(f"{self.name!r} cannot be a file's name: add `file: NAME`")
        return self

    @property
    def name(self) -> str:
        return self.file or unquote(urlsplit(self.address).path).rpartition("/")[2]

    @property
    def size(self) -> int | None:
        """Bytes, as far as the card says."""
        return self.bytes if self.bytes is not None else _bytes(self.about_gb)

    @property
    def digest(self) -> tuple[str, str] | None:
        if self.sha256:
            return ("sha256", self.sha256)
        return ("md5", self.md5) if self.md5 else None

    @property
    def place(self) -> str:
        return self.address


class HubSource(_Source, frozen=True):
    """Files of a dataset of the Hugging Face hub.

    hub:      OWNER/NAME
    revision: a branch, tag or commit; by default the main branch
    allow:    patterns of the files that are wanted, such as `*.csv`; all of them where there are none
    """

    hub: Annotated[str, Field(pattern=f"^{_REPOSITORY}$")]
    revision: str | None = None
    allow: list[str] = []

    @property
    def size(self) -> int | None:
        return _bytes(self.about_gb)

    @property
    def place(self) -> str:
        wanted = f" ({', '.join(self.allow)})" if self.allow else ""
        return f"Hugging Face dataset {self.hub}" + (f" at {self.revision}" if self.revision else "") + wanted


class KaggleSource(_Source, frozen=True):
    """A dataset of Kaggle. kaggle: OWNER/NAME; version: by default the newest; path: one file of it"""

    kaggle: Annotated[str, Field(pattern=f"^{_REPOSITORY}$")]
    version: Annotated[int, Field(gt=0)] | None = None
    path: str | None = None

    @property
    def size(self) -> int | None:
        return _bytes(self.about_gb)

    @property
    def handle(self) -> str:
        return self.kaggle if self.version is None else f"{self.kaggle}/versions/{self.version}"

    @property
    def place(self) -> str:
        return f"Kaggle dataset {self.handle}" + (f" ({self.path})" if self.path else "")


Source = AddressSource | HubSource | KaggleSource
_KINDS: dict[str, type[Source]] = {"address": AddressSource, "hub": HubSource, "kaggle": KaggleSource}


class Downloads(BaseModel, frozen=True, extra="forbid", strict=True):
    """sources: what is fetched; by_hand: how to get what cannot be, in a sentence; ingest: what follows `erc ingest`
    once the sources are there, with {folder} where they are"""

    sources: tuple[Source, ...] = ()
    by_hand: str = ""
    ingest: str = ""


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


def downloads_problems(values: Any) -> list[str]:
    """What is wrong with a card's `downloads`, a clause each; [] where `read_downloads` takes it."""
    if not isinstance(values, dict):
        return ["downloads must be a mapping of sources, by_hand and ingest"]
    return list(_section_problems(values))


def read_downloads(values: dict[str, Any]) -> Downloads:
    """The section of a card that has no problems."""
    sources = tuple(_kind(item).model_validate(item) for item in values.get("sources") or ())
    return Downloads(sources=sources, by_hand=values.get("by_hand") or "", ingest=values.get("ingest") or "")


def _section_problems(values: dict[str, Any]) -> Iterator[str]:
    for key in values:
        if key not in Downloads.model_fields:
            yield f"downloads has no key {key!r}: {nearest(str(key), Downloads.model_fields)}"
    for key in ("by_hand", "ingest"):
        if not isinstance(values.get(key) or "", str):
            yield f"downloads.{key} must be text"
    sources = values.get("sources") or []
    if not isinstance(sources, list):
        yield "downloads.sources must be a list"
        return
    ingest = values.get("ingest") or ""
    if not sources and not values.get("by_hand"):
        yield "downloads must name sources, or say by_hand how the corpus is to be had"
    if sources and not ("{folder}" in str(ingest) and _COMMAND.fullmatch(str(ingest).replace("{folder}", ""))):
        yield "downloads.ingest must say what follows `erc ingest`, with {folder} where the sources are"
    names: list[str] = []
    for number, source in enumerate(sources, start=1):
        yield from _source_problems(source, f"downloads.sources[{number}]", names)
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"downloads.sources give two files the name {name!r}: add `file: NAME`"


def _kind(source: dict[str, Any]) -> type[Source]:
    return next(_KINDS[key] for key in _KINDS if key in source)


def _source_problems(source: Any, where: str, names: list[str]) -> Iterator[str]:
    if not isinstance(source, dict) or len(_KINDS.keys() & source.keys()) != 1:
        yield f"{where} must have one of {', '.join(_KINDS)}"
        return
    kind = _kind(source)
    try:
        read = kind.model_validate(source)
    except ValidationError as error:
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                text = f"is unknown: {nearest(key, kind.model_fields)}"
            yield f"{where}{'.' + key if key else ''}: {text}"
        return
    if isinstance(read, AddressSource):
        names.append(read.name)
