"""JSON files of and beside run folders: read as checked values, and written whole.

Fields that a file has beyond those of its model are ignored, so that what a newer version wrote still reads.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from features.errors import RunFileError
from features.files import write_whole

Model = TypeVar("Model", bound=BaseModel)

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def read_checked(model: type[Model], file: Path, mend: str, *, printable: bool) -> Model:
    """A JSON file as a model. printable: its texts as of `clean`.

    Raises RunFileError with the first trouble.
    """
    try:
        content = json.loads(read_text(file, mend))
    except (ValueError, RecursionError) as error:
        raise unreadable(file, error, mend) from error
    try:
        return model.model_validate(clean(content) if printable else content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        problem = clean(f"{file.name}: {f'{where}: ' if where else ''}{message}{more}")
        raise RunFileError(file.parent, problem, mend) from error


def read_text(file: Path, mend: str) -> str:
    """Raises RunFileError where it is not there, cannot be read or is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunFileError(file.parent, f"{file.name} is not there", mend) from error
    except (OSError, ValueError) as error:
        raise unreadable(file, error, mend) from error


def unreadable(file: Path, error: Exception, mend: str) -> RunFileError:
    return RunFileError(file.parent, f"{file.name} cannot be read: {reason_of(error)}", mend)


def clean(value: Any) -> Any:
    """The value with the control characters and lone surrogates of its texts as U+FFFD: no valid page holds them."""
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def reason_of(error: Exception) -> str:
    """What a library's error says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def write_model(path: Path, value: BaseModel) -> None:
    write_json(path, value.model_dump(mode="json"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def update_json(path: Path, values: dict[str, Any], within: str | None = None) -> None:
    """Set these keys of a JSON file, and leave the others as they are, whatever a newer version wrote there.

    within: set them in the mapping that stands under this key
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, content | (values if within is None else {within: content[within] | values}))


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
