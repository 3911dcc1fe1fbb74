"""Random features of MELD's size in our store, and the same numbers as other tools keep them: float32, as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.inputs.random_meld import make_manifest
from features.manifest import Manifest, read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import write_feature

FEATURES = {"text": ("gpt2", 768), "audio": ("wav2vec2", 1536), "visual": ("resnet50", 2048)}


def make_store(place: Path, splits: dict[str, int]) -> Manifest:
    """manifest.parquet and store/ with FEATURES."""
    write_manifest(make_manifest(splits), place / "manifest.parquet")
    manifest = read_manifest(place / "manifest.parquet")
    for name, values in random_values(len(manifest)).items():
        modality = next(modality for modality, (feature, _) in FEATURES.items() if feature == name)
        spec = EncoderSpec(modality, name, 1, "text", "vector", values.shape[1:], weights="random")  # type: ignore[arg-type]
        write_feature(place / "store", spec, manifest, dict(zip(manifest.ids, values, strict=True)))
    return manifest


def random_values(count: int) -> dict[str, np.ndarray]:
    """Feature -> float32 [count, width], the same each time."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((count, width), dtype=np.float32) for name, width in FEATURES.values()}


def make_others(place: Path, ids: list[str]) -> None:
    """The same rows in the manifest's order, as each of the others recommends to store them; left out where a package
    is absent."""
    values = random_values(len(ids))
    (place / "npy").mkdir()
    for name, rows in values.items():
        np.save(place / "npy" / f"{name}.npy", rows)
    from safetensors.numpy import save_file

    save_file(values, place / "all.safetensors")
    _save_files(place / "files", values, ids)
    for save in (_save_datasets, _save_lance):
        try:
            save(place, values)
        except ModuleNotFoundError as error:
            if error.name not in ("datasets", "lance"):
                raise


def file_of(folder: Path, name: str, utterance_id: str) -> Path:
    """An utterance's own file, as scripts that extract one by one write them."""
    return folder / name / f"{utterance_id.replace('/', '_')}.npy"


def _save_files(folder: Path, values: dict[str, np.ndarray], ids: list[str]) -> None:
    for name, rows in values.items():
        (folder / name).mkdir(parents=True)
        for utterance_id, row in zip(ids, rows, strict=True):
            np.save(file_of(folder, name, utterance_id), row)


def _save_datasets(place: Path, values: dict[str, np.ndarray]) -> None:
    import datasets

    datasets.disable_progress_bars()
    columns = datasets.Features(
        {name: datasets.List(datasets.Value("float32"), length=rows.shape[1]) for name, rows in values.items()}
    )
    table = {name: _fixed_lists(rows) for name, rows in values.items()}
    import pyarrow as pa

    datasets.Dataset(pa.table(table), info=datasets.DatasetInfo(features=columns)).save_to_disk(str(place / "datasets"))


def _save_lance(place: Path, values: dict[str, np.ndarray]) -> None:
    import lance
    import pyarrow as pa

    lance.write_dataset(pa.table({name: _fixed_lists(rows) for name, rows in values.items()}), str(place / "lance"))


def _fixed_lists(rows: np.ndarray):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
