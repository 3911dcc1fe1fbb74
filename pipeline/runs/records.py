"""JSON files of and beside run folders as checked values, among them the record that a suite leaves beside its runs.

Fields that a file has beyond these are ignored, so that what a newer version wrote still reads.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from features.errors import RunError

Model = TypeVar("Model", bound=BaseModel)

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Contrast(BaseModel, frozen=True, extra="ignore"):
    """A question that a suite asks of two of its experiments, which differ in one factor."""

    question: str
    a: Annotated[str, Field(alias="A")]
    b: Annotated[str, Field(alias="B")]


class SuiteRecord(BaseModel, frozen=True, extra="ignore"):
    """suite-NAME.json, beside the runs: which run folder answers for which experiment, and the suite's questions.

    duplicates: experiment -> the equal one that was trained in its place
    baseline:   the experiment that others are measured against
    """

    suite: str
    title: str = ""
    runs: dict[str, str]
    duplicates: dict[str, str] = {}
    contrasts: tuple[Contrast, ...] = ()
    baseline: str | None = None


def read_suite_record(file: Path) -> SuiteRecord:
    """Raises RunError where it cannot be read or is damaged."""
    try:
        return checked(SuiteRecord, file)
    except RunError as error:
        raise RunError(f"{file.parent}/{error}: run the suite's `erc ablate` again, which writes it") from error


def checked(model: type[Model], file: Path) -> Model:
    """A JSON file as a model. Raises RunError naming the file, without its folder, and the first trouble."""
    try:
        return model.model_validate(_load_json(file))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise RunError(clean(f"{file.name}: {f'{where}: ' if where else ''}{message}{more}")) from error


def clean(value: Any) -> Any:
    """The value with the control characters and lone surrogates of its texts as U+FFFD: no valid page holds them."""
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _load_json(file: Path) -> Any:
    try:
        return clean(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RunError(f"{file.name} is not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file.name} cannot be read: {one_line(error)}") from error
