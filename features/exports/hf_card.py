"""The dataset card of `--format hf`: what is in it, where it is from, under which licence, and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import yaml

from features.exports.corpus import label_order
from features.exports.request import Request, Written, command_line, feature_name
from features.manifest import file_digest
from features.spec import EncoderSpec
from features.store.feature import Feature


def card_text(request: Request, columns: Mapping[str, Feature], written: Written) -> str:
    """README.md, with `configs` that name the file of each split."""
    card = request.manifest.card
    labels = label_order(request.manifest)
    parts = [
        f"---\n{_front_matter(card.title or card.dataset, written)}---",
        f"# {card.title or card.dataset}: stored features",
        _warnings(card.synthetic, columns),
        f"Embeddings of the utterances of {card.title or card.dataset}, one Parquet file a split, made by an extraction"
        " that can be repeated: each spec below names all that changes the numbers.",
        f"- Corpus: {card.url or 'no address on its card'}\n"
        f"- Licence of the corpus: {card.licence or 'not on its card'}\n"
        f"- Citation: {card.citation or 'not on its card'}\n- sha256 of the manifest: {file_digest(request.manifest)}",
        "## Features\n\n" + _features_table(columns, written),
        _how_to_read(next(iter(columns)), labels),
        f"## How it was made\n\n```sh\n{command_line(request, 'hf')}\n```\n\n"
        "SHA256SUMS covers every file: `sha256sum -c SHA256SUMS`, or `erc store verify FOLDER`.",
        "## Specs\n\n" + "\n\n".join(_spec_block(name, feature.spec) for name, feature in columns.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(title: str, written: Written) -> str:
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in written.splits]
    values = {"pretty_name": title, "license": "other", "tags": ["emotion-recognition", "precomputed-features"]}
    text: str = yaml.safe_dump(
        values | {"configs": [{"config_name": "default", "data_files": files}]}, sort_keys=False, allow_unicode=True
    )
    return text


def _warnings(synthetic: bool, columns: Mapping[str, Feature]) -> str:
    lines = []
    if synthetic:
        lines.append("> **Synthetic corpus.** It tests plumbing; scores on it say nothing about emotion recognition.")
    for weights, told in (("random", "Random weights"), ("foreign", "Foreign vectors, not made by this package")):
        if names := [name for name, feature in columns.items() if feature.spec.weights == weights]:
            lines.append(f"> **{told}** in {', '.join(names)}.")
    return "\n>\n".join(lines)


def _features_table(columns: Mapping[str, Feature], written: Written) -> str:
    without = Counter(item.feature for item in written.missing)
    lines = [
        "| column | feature | encoder | weights | shape | dtype | rows without |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, feature in columns.items():
        spec = feature.spec
        shape = "x".join(map(str, ("n", *spec.shape) if spec.kind == "sequence" else spec.shape)) or "n"
        cells = [name, feature_name(feature), spec.model or spec.encoder, spec.weights, shape, spec.stored_dtype]
        told = " | ".join(cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| {told} | {without[feature_name(feature)]} |")
    return "\n".join(lines)


def _how_to_read(column: str, labels: tuple[str, ...]) -> str:
    return f"""## Use

A row without an embedding has null there, and `{column}_status` and `{column}_reason` say why. Labels are texts, null
where an utterance has none; their order as classes is that of the corpus' card.

```python
from datasets import ClassLabel, load_dataset

data = load_dataset("FOLDER")
data = data.filter(lambda row: row["{column}_status"] == "ok" and row["label"] is not None)
data = data.cast_column("label", ClassLabel(names={json.dumps(list(labels), ensure_ascii=False)}))
data = data.with_format("numpy", columns=["{column}", "label"])
```"""


def _spec_block(name: str, spec: EncoderSpec) -> str:
    return f"`{name}`, fingerprint {spec.fingerprint}\n\n```json\n{spec.to_json()}```"
