"""A JSON schema of suite files, so that editors complete and check them while they are written.

It is made from the parts' own signatures. It says what a file may hold; what parts do not go together, and whether an
experiment is whole once it is merged with the defaults, only reading the suite tells (heads/config/suite.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.spec import MODALITIES
from heads.config.parts import Part, Setting, all_parts, all_sections

SCHEMA = "http://json-schema.org/draft-07/schema#"
FILE = "suite.schema.json"

_TEXT = {"type": "string"}


def suite_schema() -> dict[str, Any]:
    """Of a suite, or of a file with a single experiment."""
    definitions = _definitions()
    body = _experiment(definitions)
    experiment = {"type": ["object", "null"], "properties": body, "additionalProperties": False}
    suite = {
        "title": _TEXT,
        "description": _TEXT,
        "baseline": _described("string", "The experiment that a score on test is shown beside."),
        "defaults": {"type": "object", "properties": body, "additionalProperties": False}
        | {"description": "What every experiment starts from: mappings merge, lists replace, null removes."},
        "experiments": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": experiment,
            "description": "Name -> what differs from the defaults.",
        },
        "contrasts": {"type": "array", "items": _contrast(), "description": "Questions, each put to two experiments."},
    }
    single = body | {"name": _TEXT, "title": _TEXT, "description": _TEXT}
    return {
        "$schema": SCHEMA,
        "title": "A suite of experiments on stored features",
        "type": "object",
        "anyOf": [
            {"properties": suite, "required": ["experiments"], "additionalProperties": False},
            {"properties": single, "required": ["inputs"], "additionalProperties": False},
        ],
        "definitions": definitions,
    }


def _definitions() -> dict[str, Any]:
    """Of each kind of part and each section."""
    parts = all_parts()
    sections = {part.name: _mapping(part.settings, part.summary) for part in all_sections()}
    sections["batch"]["properties"]["sampler"] = _names(parts, "sampler")
    components = {kind: _component(parts, kind) for kind in ("reader", "fusion", "context", "loss")}
    return components | {"normalise": _names(parts, "normalise")} | sections


def _experiment(definitions: dict[str, Any]) -> dict[str, Any]:
    """The keys of an experiment, and of what all start from."""
    known = {name: {"$ref": f"#/definitions/{name}"} for name in definitions}
    by_itself = ("normalise", "fusion", "context", "feedforward", "batch", "optim", "stop")
    return {
        "paper": _mapping_of({"exp": {"type": ["integer", "string"]}, "reported": {"type": ["number", "null"]}}),
        "tuned": _mapping_of({"configurations_tried": {"type": "integer", "minimum": 1}, "selected_by": _TEXT}),
        "inputs": _by_modality(_one_or_many(_selector()), "Stored features of each modality, as `erc store ls` has."),
        "readers": _by_modality(known["reader"], "How sequences and stacks become a vector."),
        "modality_context": known["context"],
        "loss": _one_or_many(known["loss"]) | {"description": "A sum of losses, each with its weight."},
        "speakers": _or_null(known["speakers"]),
        "evaluation": _or_null(known["evaluation"]),
    } | {name: known[name] for name in by_itself}


def _names(parts: Sequence[Part], kind: str) -> dict[str, Any]:
    return {"enum": [part.name for part in parts if part.kind == kind]}


def _component(parts: Sequence[Part], kind: str) -> dict[str, Any]:
    """A part by its name alone, with its settings, or settings that are merged into the default's part."""
    chosen = [part for part in parts if part.kind == kind]
    whole = [_mapping(part.settings, part.summary, name=part.name) for part in chosen]
    every: dict[str, Any] = {}
    for part in chosen:
        for setting in part.settings:
            every.setdefault(setting.name, []).append(_setting(setting))
    merged = {name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for name, schemas in every.items()}
    patch = {"type": "object", "properties": merged, "additionalProperties": False, "minProperties": 1}
    return {"anyOf": [_names(parts, kind), *whole, *([patch] if kind != "loss" else [])]}


def _mapping(settings: Sequence[Setting], text: str, name: str | None = None) -> dict[str, Any]:
    properties = {setting.name: _setting(setting) for setting in settings}
    if name is None:
        return _mapping_of(properties) | {"description": text}
    named = {"name": {"const": name, "description": text}}
    return _mapping_of(named | properties) | {"required": ["name"]}


def _mapping_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _setting(setting: Setting) -> dict[str, Any]:
    schema = dict(setting.schema)
    if setting.text:
        schema["description"] = setting.text
    if not setting.required:
        default = setting.default
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _by_modality(schema: dict[str, Any], text: str) -> dict[str, Any]:
    return _mapping_of({modality: _or_null(schema) for modality in MODALITIES}) | {"description": text}


def _selector() -> dict[str, Any]:
    chosen = _mapping_of({"encoder": _TEXT, "model": _TEXT}) | {"minProperties": 1}
    return {"anyOf": [_TEXT, chosen]}


def _contrast() -> dict[str, Any]:
    texts = {
        "question": _described("string", "What the two experiments answer."),
        "A": _described("string", "Name of an experiment; differences are A - B."),
        "B": _described("string", "Name of the experiment that it is held against."),
    }
    return _mapping_of(texts) | {"required": list(texts)}


def _described(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "description": text}


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}
