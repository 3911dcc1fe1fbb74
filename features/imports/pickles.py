"""The pickles of MMSA, of conv-emotion and its kin, and plain dictionaries of arrays, read without running them.

MMSA: `{train, valid, test}`, each with id, raw_text, text, audio, vision [n, T, d], for unaligned sets audio_lengths
and vision_lengths, regression_labels, annotations. Checked against public loaders that read it with these keys, MMSA's
and several that were made of it; they set an -inf in `audio` to 0 after reading, which is not done here: such a row is
`failed`.

conv-emotion: a tuple of dicts by dialogue, each a list in the order of turns. The tuples' parts are told apart by what
they hold as well as by their number, since ten parts are two things. Checked against the loaders that unpack them:
DialogueRNN for MELD (9) and IEMOCAP (9, with sight), COSMIC for MELD (11) and IEMOCAP (10), MMGCN and MM-DFN for MELD
(10) and IEMOCAP (9, as DialogueRNN), SDT (butterfliesss/SDT) with RoBERTa for IEMOCAP (12) and MELD (13), as they stand
in public repositories. Not checked: the files themselves, whose links are dead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.imports.foreign import SPLITS, Foreign, ForeignError, as_array, plain_id, plain_text
from features.imports.numpy_files import choose_field, first_of
from features.imports.safe_pickle import load_pickle
from features.spec import Modality

_FIELDS = ("text", "audio", "vision", "visual")
_OF_MODALITY: dict[Modality, tuple[str, ...]] = {
    "text": ("text",),
    "audio": ("audio",),
    "visual": ("vision", "visual", "video"),
}
_ROBERTA = ("roberta1", "roberta2", "roberta3", "roberta4")
_RNN = ("ids", "speakers", "labels", "text", "audio")
LAYOUTS: dict[str, tuple[str, ...]] = {
    "DialogueRNN, MELD": (*_RNN, "sentences", "train", "test", "sentiments"),
    "DialogueRNN, IEMOCAP": (*_RNN, "visual", "sentences", "train", "test"),
    "MMGCN, MELD": (*_RNN, "visual", "sentences", "train", "test", "sentiments"),
    "SDT, IEMOCAP": (
        "ids",
        "speakers",
        "labels",
        "text",
        *_ROBERTA[1:],
        "audio",
        "visual",
        "sentences",
        "train",
        "test",
    ),
    "SDT, MELD": (
        *("ids", "speakers", "labels", "text", *_ROBERTA[1:], "audio", "visual", "sentences", "train", "test"),
        "sentiments",
    ),
    "COSMIC, MELD": ("speakers", "labels", "sentiments", *_ROBERTA, "sentences", "train", "test", "valid"),
    "COSMIC, IEMOCAP": ("speakers", "labels", *_ROBERTA, "sentences", "train", "test", "valid"),
}
_VECTORS = {"text", "audio", "visual", *_ROBERTA}


def read_pickle(path: Path, field: str | None, modality: Modality, file_format: str = "auto") -> Foreign:
    """file_format: mmsa, conv-emotion, dict, or auto: whichever it is. Raises UsageError for what is none of them."""
    content = load_pickle(path)
    if file_format in ("auto", "mmsa") and is_mmsa(content):
        return read_mmsa(content, field, modality, path)
    if file_format in ("auto", "conv-emotion") and isinstance(content, tuple | list):
        return read_conversations(content, field, modality, path)
    if file_format in ("auto", "dict", "conv-emotion") and isinstance(content, Mapping):
        return read_dictionary(content, field, modality, path)
    raise ForeignError(
        f"{path}: is no {'pickle of MMSA, conv-emotion or a dict of arrays' if file_format == 'auto' else file_format}:"
        f" it holds a {type(content).__name__}{_keys_of(content)}"
    )


def _keys_of(content: Any) -> str:
    if isinstance(content, Mapping):
        return f" with {', '.join(str(key)[:30] for key in list(content)[:6])}"
    return f" of {len(content)}" if isinstance(content, tuple | list) else ""


def is_mmsa(content: Any) -> bool:
    """Whether a value has MMSA's splits, each with its ids."""
    splits = [part for key, part in content.items() if key in SPLITS] if isinstance(content, Mapping) else []
    return bool(splits) and all(isinstance(part, Mapping) and "id" in part for part in splits)


def read_mmsa(content: Mapping[str, Any], field: str | None, modality: Modality, path: Path) -> Foreign:
    """The rows of all splits. Sequences that have a length are cut to it; T = 1 is a vector."""
    parts = {key: part for key, part in content.items() if key in SPLITS and len(part["id"])}
    if not parts:
        raise ForeignError(f"{path}: its splits hold no rows")
    first = next(iter(parts.values()))
    fields = [
        key
        for key, value in first.items()
        if isinstance(value, np.ndarray) and value.ndim > 1 and value.dtype.kind in "fiu"
    ]
    chosen = _chosen(fields, field, modality, path)
    found = Foreign("mmsa", chosen, [], [], splits=[], texts=[], sentiments=[])
    rows: list[np.ndarray | None] = []
    for split, part in parts.items():
        ids = [plain_id(item) for item in _listed(part["id"])]
        values = part.get(chosen)
        if values is None or len(values) != len(ids):
            count = "no" if values is None else f"{len(values):,}"
            raise ForeignError(f"{path}: {split} has {len(ids):,} ids and {count} rows of {chosen}")
        lengths = part.get(f"{chosen}_lengths")
        rows += _cut(values, None if lengths is None else _listed(lengths), path)
        found.ids += ids
        _add(found.splits, [SPLITS[split]] * len(ids), len(ids))
        _add(found.texts, [plain_text(item) for item in _listed(part.get("raw_text"))], len(ids))
        words = [plain_text(item) for item in _listed(part.get("annotations"))]
        scores = [_sign(item) for item in _listed(part.get("regression_labels"))]
        _add(found.sentiments, words if len(words) == len(ids) else scores, len(ids))
    found.rows = rows
    return found


def _add(target: list[Any] | None, values: list[Any], count: int) -> None:
    if target is not None:
        target += values if len(values) == count else [None] * count


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value.tolist() if isinstance(value, np.ndarray) else list(value)


def _sign(value: Any) -> str | None:
    """A score as one of three words; how far from zero a corpus draws its borders is not known."""
    score = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(score, int | float) or score != score:
        return None
    return "score above 0" if score > 0 else "score below 0" if score < 0 else "score 0"


def _cut(values: np.ndarray, lengths: list[Any] | None, path: Path) -> list[np.ndarray | None]:
    if lengths is None:
        return list(values)
    if len(lengths) != len(values) or any(not isinstance(item, int) for item in lengths):
        raise ForeignError(f"{path}: its lengths are not a whole number a row")
    return [value[: max(1, length)] for value, length in zip(values, lengths, strict=True)]


def _chosen(fields: Sequence[str], field: str | None, modality: Modality, path: Path) -> str:
    """--field, or the only field that is of the modality by its name."""
    if field is None:
        own = [name for name in _OF_MODALITY[modality] if name in fields]
        if own:
            return own[0]
    return choose_field(fields, field, path)


def read_conversations(content: Sequence[Any], field: str | None, modality: Modality, path: Path) -> Foreign:
    """A tuple of dicts by dialogue, of one of LAYOUTS."""
    fits = [name for name, parts in LAYOUTS.items() if _is_of(content, parts)]
    if not fits:
        raise ForeignError(
            f"{path}: holds {len(content)} parts, which are not those of {', '.join(LAYOUTS)}: give a dict of arrays"
        )
    return of_dialogues(dict(zip(LAYOUTS[fits[0]], content, strict=True)), field, modality, path)


def _is_of(content: Sequence[Any], layout: Sequence[str]) -> bool:
    return len(content) == len(layout) and all(_is_part(name, part) for name, part in zip(layout, content, strict=True))


def _is_part(name: str, part: Any) -> bool:
    if name in ("train", "test", "valid"):
        return isinstance(part, list | tuple | set | frozenset | np.ndarray)
    if name == "sentiments" and part is None:
        return True
    if not isinstance(part, Mapping):
        return False
    one = next((value for value in part.values() if len(_listed_turns(value))), None)
    if one is None:
        return True
    first = _listed_turns(one)[0]
    if name in _VECTORS:
        made = as_array(first)
        return made is not None and made.ndim >= 1
    if name == "sentences":
        return plain_text(first) is not None
    if name in ("labels", "sentiments"):
        return isinstance(first, int | np.integer)
    return True


def _listed_turns(value: Any) -> Any:
    return value if isinstance(value, list | tuple | np.ndarray) else []


def of_dialogues(parts: Mapping[str, Any], field: str | None, modality: Modality, path: Path) -> Foreign:
    """Parts by name, each a dict by dialogue of lists by turn; `train`, `test` and `valid` list dialogues."""
    fields = [name for name, part in parts.items() if _is_vectors(part)]
    chosen = _chosen(fields, field, modality, path)
    found = Foreign("conv-emotion", chosen, [], [], turns=[], texts=[], labels=[], sentiments=[])
    rows: list[np.ndarray | None] = []
    names = {} if parts.get("ids") is None else parts["ids"]
    splits = _splits_of(parts)
    found.splits = [] if splits else None
    found.named = isinstance(names, Mapping) and bool(names) and _are_ids(names, parts[chosen])
    for key, turns in parts[chosen].items():
        count, name = len(turns), plain_id(key)
        rows += [as_array(turn) for turn in turns]
        own = [plain_id(item) for item in _listed(names[key])] if found.named else []
        found.ids += own if found.named else [f"{name}_{place}" for place in range(count)]
        _add(found.turns, [(name, place) for place in range(count)], count)
        _add(found.texts, [plain_text(item) for item in _of_key(parts, "sentences", key)], count)
        _add(found.labels, _of_key(parts, "labels", key), count)
        _add(found.sentiments, _of_key(parts, "sentiments", key), count)
        _add(found.splits, [splits.get(name)] * count, count)
    if any(row is None for row in rows):
        raise ForeignError(f"{path}: {found.ids[next(i for i, row in enumerate(rows) if row is None)]} has no numbers")
    found.rows = rows
    return found


def _of_key(parts: Mapping[str, Any], name: str, key: Any) -> list[Any]:
    part = parts.get(name)
    values = part.get(key) if isinstance(part, Mapping) else None
    return [] if values is None else _listed(values)


def _are_ids(names: Mapping[Any, Any], turns: Mapping[Any, Any]) -> bool:
    """Whether they name every turn, each by its own name."""
    try:
        if any(key not in names or len(names[key]) != len(turns[key]) for key in turns):
            return False
        every = [plain_id(item) for key in turns for item in _listed(names[key])]
    except (TypeError, ForeignError):
        return False
    return len(set(every)) == len(every)


def _splits_of(parts: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Dialogue -> splits it may be of. Where there is no list of dev's, train holds dev, too."""
    found: dict[str, frozenset[str]] = {}
    for name in ("train", "valid", "test"):
        listed = parts.get(name)
        if isinstance(listed, Sequence | set | frozenset | np.ndarray) and not isinstance(listed, str):
            wide = name == "train" and parts.get("valid") is None
            for key in _listed(listed):
                found[plain_id(key)] = frozenset({"train", "dev"}) if wide else SPLITS[name]
    return found


def _is_vectors(part: Any) -> bool:
    if not isinstance(part, Mapping) or not part:
        return False
    turns = next((value for value in part.values() if len(_listed_turns(value))), None)
    if turns is None:
        return False
    first = as_array(_listed_turns(turns)[0])
    return first is not None and first.ndim >= 1 and first.size > 1 and first.dtype.kind == "f"


def read_dictionary(content: Mapping[Any, Any], field: str | None, modality: Modality, path: Path) -> Foreign:
    """A dict of arrays by id; one by dialogue of lists by turn; or one of such dicts by the names of fields."""
    known = {**{name: name for name in ("ids", "labels", "sentences", "sentiments", "train", "test", "valid")}}
    inner = [value for value in content.values() if isinstance(value, Mapping)]
    if inner and any(_is_vectors(value) for value in inner):
        keys = [str(key) for key in content]
        for name, others in (("sentences", ("sentence", "texts")), ("labels", ("label", "emotions", "emotion_labels"))):
            other = first_of(keys, (name, *others))
            known[name] = other or name
        own = {name: content[key] for name, key in known.items() if key in content}
        rest = {str(key): value for key, value in content.items() if key not in known.values()}
        return of_dialogues(rest | own, field, modality, path)
    if inner and all(isinstance(value, Mapping) for value in content.values()):
        chosen = _chosen([str(key) for key in content], field, modality, path)
        return read_dictionary(content[chosen], None, modality, path)
    if content and all(isinstance(value, list | tuple) and as_array(value[0] if value else None) is not None
                       and np.ndim(value[0]) >= 1 for value in content.values()):  # fmt: skip
        return of_dialogues({modality: content}, modality, modality, path)
    rows = [as_array(value) for value in content.values()]
    ids = [plain_id(key) for key in content]
    wrong = next((name for name, row in zip(ids, rows, strict=True) if row is None), None)
    if wrong is not None or not ids:
        raise ForeignError(f"{path}: {wrong or 'the dict'} holds no array of numbers")
    return Foreign("dict", field, ids, rows)
