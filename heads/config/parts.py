"""What a head can be made of: every part of every table with its settings, and the sections of an experiment.

All of it is read from the parts themselves: their signatures and docstrings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from heads.config.registry import Section, settings_of
from heads.config.sections import (
    Batch,
    Evaluation,
    FeedForward,
    FusionCommon,
    LossCommon,
    Optim,
    Speakers,
    Stop,
)

_NAMES = r"[A-Za-z_][\w.]*(?:, [A-Za-z_][\w.]*)*"
_SETTING = re.compile(rf"^(?P<indent> *)(?P<names>{_NAMES}): +(?P<text>\S.*)$")

_PUBLICATION = re.compile(r"[A-Z][a-z]+(?: et al\.| and [A-Z][a-z]+)? (?:19|20)\d\d")

SECTIONS: dict[str, type[Section]] = {
    "feedforward": FeedForward,
    "speakers": Speakers,
    "batch": Batch,
    "optim": Optim,
    "stop": Stop,
    "evaluation": Evaluation,
}


@dataclass(frozen=True)
class Setting:
    """One key of a part. schema: its type and limits, as JSON schema; required: whether it has no default"""

    name: str
    schema: Mapping[str, Any]
    default: Any
    required: bool
    text: str

    @property
    def default_text(self) -> str:
        """As YAML has it; empty where there is none."""
        if self.required:
            return ""
        if self.default is None or isinstance(self.default, bool):
            return "null" if self.default is None else str(self.default).lower()
        return str(list(self.default) if isinstance(self.default, tuple) else self.default)


@dataclass(frozen=True)
class Part:
    """kind: what it is (reader, fusion, ...); name: what YAML calls it; summary: a sentence, on one line;
    text: its docstring, with sources"""

    kind: str
    name: str
    summary: str
    text: str
    settings: tuple[Setting, ...]

    @property
    def sources(self) -> list[str]:
        """The publications that the docstring names, as `Kim 2014`, and the report that this project follows."""
        text = " ".join(self.text.split())
        report = ["HLM12ERC report"] if re.search(r"HLM12ERC|the report's|The report's", text) else []
        return list(dict.fromkeys([*_PUBLICATION.findall(text), *report]))


def part_tables() -> dict[str, tuple[Mapping[str, Callable[..., Any]], type[Section]]]:
    """kind -> (its table, what all parts of it take)."""
    from heads.context import CONTEXTS
    from heads.fusion import FUSIONS
    from heads.losses import LOSSES
    from heads.readers import READERS

    return {
        "reader": (READERS, Section),
        "fusion": (FUSIONS, FusionCommon),
        "context": (CONTEXTS, Section),
        "loss": (LOSSES, LossCommon),
    }


def all_parts() -> list[Part]:
    """Readers, fusions, contexts, losses, samplers and normalisations, in the order of their tables."""
    from heads.data.normalise import NORMALISERS
    from heads.data.samplers import SAMPLERS

    found = []
    for kind, (table, common) in part_tables().items():
        for name, part in table.items():
            settings = (*_settings(settings_of(part), part), *_settings(common, common))
            found.append(Part(kind, name, _summary(part, table), inspect.getdoc(part) or "", settings))
    for name, sampler in SAMPLERS.items():
        found.append(Part("sampler", name, _summary(sampler, SAMPLERS), inspect.getdoc(sampler) or "", ()))
    for name, steps in NORMALISERS.items():
        text = {"standardise": "mean 0 and deviation 1 in each dimension, by the train rows", "l2": "length 1"}
        said = ", then ".join(text[step] for step in steps) or "as stored"
        said = said[0].upper() + said[1:]
        found.append(Part("normalise", name, said, said, ()))
    return found


def all_sections() -> list[Part]:
    """The mappings of an experiment that are no tables of parts: `optim`, `batch` and their like."""
    return [
        Part("section", name, _sentence(inspect.getdoc(model)), inspect.getdoc(model) or "", _settings(model, model))
        for name, model in SECTIONS.items()
    ]


def _summary(part: Callable[..., Any], table: Mapping[str, Callable[..., Any]]) -> str:
    """What the file of a part says of it; where several parts share a file, what the part's own docstring says."""
    alone = sum(other.__module__ == part.__module__ for other in table.values()) == 1
    return _sentence(inspect.getdoc(inspect.getmodule(part)) if alone else inspect.getdoc(part))


def _sentence(docstring: str | None) -> str:
    """The first sentence, without the name that it may begin with and without its stop."""
    paragraph = " ".join((docstring or "").split("\n\n")[0].split())
    found = re.match(r"(?:`[^`]+`: )?(.+?(?<! al)[.])(?: [A-Z0-9(`]|$)", paragraph)
    sentence = (found[1] if found else paragraph).rstrip(".")
    return sentence[:1].upper() + sentence[1:]


def _settings(model: type[BaseModel], documented: Callable[..., Any]) -> tuple[Setting, ...]:
    texts = setting_texts(inspect.getdoc(documented) or "", set(model.model_fields))
    schemas = model.model_json_schema()["properties"] if model.model_fields else {}
    return tuple(
        Setting(
            name,
            {key: value for key, value in schemas[name].items() if key not in ("title", "default")},
            None if field.is_required() else field.get_default(call_default_factory=True),
            field.is_required(),
            texts.get(name, ""),
        )
        for name, field in model.model_fields.items()
    )


def limits(schema: Mapping[str, Any]) -> str:
    """A setting's type and limits in words."""
    if "anyOf" in schema:
        return " or ".join(limits(item) for item in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema["type"] == "array":
        return f"list of {limits(schema['items'])}"
    words = {"integer": "whole number", "number": "number", "boolean": "true | false", "string": "text", "null": "null"}
    bounds = [
        f"{word} {schema[key]:.10g}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in schema
    ]
    bounds += [f"below {schema['exclusiveMaximum']:.10g}"] if "exclusiveMaximum" in schema else []
    return " ".join([words[schema["type"]], *bounds])


def setting_texts(docstring: str, names: set[str]) -> dict[str, str]:
    """Setting -> what a docstring says of it in lines of the form `name: text` or `one, two: text`, which may go on in
    lines that are indented further."""
    texts: dict[str, str] = {}
    lines = docstring.splitlines()
    for place, line in enumerate(lines):
        match = _SETTING.match(line)
        if not match or not names.issuperset(match["names"].split(", ")):
            continue
        said = [match["text"]]
        for further in lines[place + 1 :]:
            if not further.strip() or len(further) - len(further.lstrip()) <= len(match["indent"]):
                break
            said.append(further.strip())
        texts |= dict.fromkeys(match["names"].split(", "), " ".join(said))
    return texts
