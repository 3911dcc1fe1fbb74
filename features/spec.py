"""EncoderSpec: everything that changes an embedding's numbers, and the fingerprint over it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from features.digests import digest_of, is_later_format
from features.errors import FormatError, StoreError, UsageError
from features.sources import Depends

Modality = Literal["text", "audio", "visual"]
Kind = Literal["vector", "stack", "sequence"]
Weights = Literal["pretrained", "random", "none", "foreign"]
Selector = str | dict[str, str]
"""How a stored feature is named: `gpt2`, `gpt2@1f3a`, or `{encoder: ..., model: ...}` (see `Store.choose`)."""

MODALITIES: tuple[Modality, ...] = ("text", "audio", "visual")
DTYPES = ("fp32", "bf16", "fp16")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*")

FORMAT = 1
_WITH_TOP_FORMAT = 2  # of a feature with `from_top`: versions that know no flags refuse it

# Recorded for people, but not hashed: a hub model and its local copy are the same feature under any alias.
_RECORDED = ("alias", "model")


@dataclass(frozen=True)
class EncoderSpec:
    """Everything that one encoder does to one utterance.

    modality:       text, audio or visual
    encoder:        the encoder's name
    version:        the encoder's own number. It is raised whenever a change of its code changes the numbers
    depends:        the manifest fields that an embedding depends on
    kind:           vector [d], stack [layers, d], or sequence [length, d]
    shape:          shape of one embedding; for a sequence, of one element
    settings:       preprocessing, pooling, layers, limits. All are JSON values, and all are hashed
    weights:        pretrained, random (from a seed, for tests and benchmarks), none (the encoder has no weights), or
                    foreign (the numbers come from elsewhere, and how they were made is not known: `features.imports`)
    weights_digest: sha256 over (name, dtype, shape, bytes) of the weights, or None
    compute_dtype:  fp32, bf16 or fp16; `unknown` if the numbers come from elsewhere
    stored_dtype:   float32 or float16
    derives_from:   fingerprint of the stored feature that this one is computed from, or None
    model:          hub id or path that the weights came from; recorded, not hashed
    alias:          the name in the folder's name, if it is not the encoder's; recorded, not hashed
    """

    modality: Modality
    encoder: str
    version: int
    depends: Depends
    kind: Kind
    shape: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    weights: Weights = "none"
    weights_digest: str | None = None
    compute_dtype: str = "fp32"
    stored_dtype: str = "float32"
    derives_from: str | None = None
    model: str | None = None
    alias: str | None = None

    def __post_init__(self) -> None:
        check_alias(self.name)

    @property
    def name(self) -> str:
        """The name of this feature in suites and folders: the alias, or else the encoder's name."""
        return self.alias or self.encoder

    @property
    def is_foreign(self) -> bool:
        """Whether the numbers were imported (`erc store import`). No encoder here can make them again."""
        return self.weights == "foreign"

    @property
    def made_by(self) -> str:
        """The command that brings rows up to date, as messages show it."""
        return "`erc store import`" if self.is_foreign else "`erc extract`"

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) over canonical JSON of every field, except those that are only recorded."""
        hashed = {key: value for key, value in asdict(self).items() if key not in _RECORDED}
        return digest_of("encoder-spec", hashed | {"shape": list(self.shape)})

    @property
    def folder(self) -> str:
        """The feature's folder in its store: modality/name-XXXXXXXX."""
        return f"{self.modality}/{self.name}-{self.fingerprint[:8]}"

    @property
    def from_top(self) -> int:
        """How many layers of the encoder are above the stored states, which have two flags each. 0: the feature is
        stored as the encoder gives it.

        See `features.top.elements`, and `Feature.read_top` for those layers.
        """
        return int(self.settings.get("from_top", 0))

    @property
    def format(self) -> int:
        """The format number of spec.json."""
        return _WITH_TOP_FORMAT if self.from_top else FORMAT

    def to_json(self) -> str:
        """spec.json: the fields, the fingerprint, and a digest over all of them. Deterministic."""
        values = asdict(self) | {"shape": list(self.shape), "fingerprint": self.fingerprint, "format": self.format}
        values["digest"] = digest_of("spec", values)
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "spec.json") -> EncoderSpec:
        """Read spec.json back.

        Raises StoreError if it is damaged (fields, digest and fingerprint must agree), and FormatError if a later
        version of this package wrote it.
        """
        try:
            values = json.loads(text)
            digest, fingerprint = values.pop("digest"), values["fingerprint"]
            if all(is_later_format("spec", values, digest, number) for number in (FORMAT, _WITH_TOP_FORMAT)):
                raise FormatError(
                    f"{where}: is of format {values['format']}, this version reads {_WITH_TOP_FORMAT}: a later version"
                    " wrote it: upgrade"
                )
            if digest != digest_of("spec", values):
                raise StoreError(f"{where}: its digest does not fit its content: the file was changed or damaged")
            known = {item.name for item in fields(cls)}
            shape = {"shape": tuple(values["shape"])}
            spec = cls(**{key: value for key, value in values.items() if key in known} | shape)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise StoreError(f"{where}: is not a spec of this package ({type(error).__name__}: {error})") from error
        if values.get("format") != spec.format:
            raise StoreError(f"{where}: its format is {values.get('format')}, that of its fields is {spec.format}")
        if fingerprint != spec.fingerprint:
            raise StoreError(f"{where}: fingerprint {fingerprint[:8]} is not its fields', {spec.fingerprint[:8]}")
        return spec


def check_alias(name: str) -> str:
    """A feature's name as it may stand in a folder name. Raises UsageError for any other."""
    if not _NAME.fullmatch(name) or len(name) > 64:
        allowed = "letters, digits, '.', '_' and single '-' inside, at most 64"
        raise UsageError(f"feature name {name!r} is not usable: {allowed}")
    return name
