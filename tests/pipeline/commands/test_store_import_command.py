"""`erc store import` as typed, and what every other command makes of an imported feature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_corpus import LABELS, edited, embeddings
from suite_shell import Shell

from features.spec import EncoderSpec
from features.store import Store
from pipeline.runs.folder import Run
from pipeline.runs.folds_file import FoldsFile

SUITE = """
defaults:
  fusion: {name: concat, dim: 8}
  feedforward: {sizes: [8]}
  stop: {epochs: 2, patience: 2}
  batch: {size: 16}
experiments:
  foreign: {inputs: {text: [theirs]}}
  ours: {inputs: {text: [sentence]}}
"""
THEIRS = EncoderSpec("text", "imported", 1, "text", "vector", (5,))


class World(Shell):
    """A manifest of 108 utterances, a store, and a folder `vectors` of those of train and dev."""

    @property
    def out(self) -> list[str]:
        return ["--out", str(self.folder / "runs")]

    def bring(self, *arguments: object) -> tuple[int, str, str]:
        given = arguments or (self.folder / "vectors",)
        return self.erc("store", "import", *given, "--modality", "text", "--as", "theirs", *self.place)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    world = World(tmp_path, capsys)
    (tmp_path / "foreign.yaml").write_text(SUITE)
    (tmp_path / "vectors").mkdir()
    for name, value in embeddings(world.manifest, THEIRS, seed=9).items():
        if "/test/" not in name:
            np.save(tmp_path / "vectors" / f"{name.partition('/')[2].replace('/', '_')}.npy", value)
    return world


def test_what_is_told(world: World) -> None:
    np.save(world.folder / "vectors" / "train_dia0_utt9.npy", np.zeros(5, np.float32))
    (world.folder / "vectors" / "train_dia0_utt3.npy").unlink()
    status, out, _ = world.bring(world.folder / "vectors", "--dry-run")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].endswith("vectors: npy: 84 rows, vector 5 (float32)")
    assert lines[1] == (
        "joined by {split}_{key}: 83 rows fit an utterance; the file says nothing but its ids, so that a shifted list"
        " could not be seen"
    )
    assert lines[2] == (
        "1 ids fit no utterance: train_dia0_utt9; of those without a vector the nearest are train_dia0_utt9 to"
        " tiny/train/dia0_utt3"
    )
    assert lines[3].startswith("25 utterances have no vector (missing: not-in-import): tiny/train/dia0_utt3, ")
    assert lines[4].startswith("nothing was written (--dry-run): it would be ")
    assert not list((world.folder / "store" / "text").glob("theirs-*"))
    status, out, _ = world.bring()
    (folder,) = (world.folder / "store" / "text").glob("theirs-*")
    assert (status, out.splitlines()[-1]) == (0, f"wrote {folder}, FOREIGN: 83 ok, 25 not-in-import")
    status, out, _ = world.bring()
    assert (status, out.splitlines()[-1]) == (0, f"{folder}: the same file is there already: nothing to do")


def test_as_json(world: World) -> None:
    status, out, _ = world.bring(world.folder / "vectors", "--json", "--note", "how", "--id", "{split}_{key}")
    document = json.loads(out)
    assert status == 0
    assert (document["rows"], document["joined"], document["rule"]) == (84, 84, "{split}_{key}")
    assert document["written"] == {"ok": 84, "not-in-import": 24}
    assert (document["weights"], document["settings"]["note"]) == ("foreign", "how")
    assert document["utterances_without"] == [name for name in world.manifest.ids if "/test/" in name]


def test_a_vector_that_is_not_finite_ends_with_3(world: World) -> None:
    np.save(world.folder / "vectors" / "train_dia0_utt0.npy", np.full(5, np.nan, np.float32))
    status, out, _ = world.bring()
    assert status == 3
    assert out.splitlines()[-1].endswith("FOREIGN: 83 ok, 1 non-finite, 24 not-in-import")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.npy"], "none.npy: is not there"),
        (["vectors", "--id", "{nothing}"], "no column 'nothing'"),
        (["vectors", "--as", "surface"], "--as surface: is the name of an encoder here"),
        (["vectors", "--as", "a/b"], "feature name 'a/b' is not usable"),
        (["x.pkl"], "x.pkl: asks for posix.system, which is refused and was not run"),
        (["s3://bucket/x.npy"], "only local folders work"),
    ],
)
def test_what_cannot_be_is_one_line(world: World, arguments: list[str], told: str) -> None:
    (world.folder / "x.pkl").write_bytes(b"cposix\nsystem\n(S'touch ran'\ntR.")
    given = [str(world.folder / arguments[0]) if "://" not in arguments[0] else arguments[0], *arguments[1:]]
    words = [] if "--as" in given else ["--as", "theirs"]
    status, out, err = world.erc("store", "import", *given, "--modality", "text", *words, *world.place)
    assert status == 2
    assert told in err
    assert "Traceback" not in err
    assert out == ""
    assert not Path("ran").exists()


def test_other_commands_of_the_store(world: World) -> None:
    world.bring()
    store = world.folder / "store"
    status, out, _ = world.erc("store", "ls", store)
    assert status == 0
    (line,) = [line for line in out.splitlines() if line.startswith("text/theirs@")]
    assert line.split()[1:4] == ["imported", "FOREIGN", "unknown"]
    assert out.splitlines()[-1].startswith("FOREIGN, imported and made by others: text/theirs@")
    assert world.erc("store", "verify", store, "--manifest", world.folder / "M.parquet")[0] == 0
    status, out, _ = world.erc(
        "store", "export", store, "--modality", "text", "--feature", "theirs", "--to", world.folder / "out.parquet"
    )
    assert (status, ", FOREIGN, 84 embeddings" in out) == (0, True)
    assert "theirs" not in world.erc("store", "gc", store, "--dry-run")[1]


def test_an_edited_text_is_told_with_the_import_that_mends_it(world: World) -> None:
    world.bring(world.folder / "vectors", "--note", "as it was")
    edited(world.manifest, world.folder / "M.parquet", "tiny/train/dia0_utt0", text="other words")
    status, _, err = world.erc("ablate", world.folder / "foreign.yaml", *world.place, *world.out, "--only", "foreign")
    assert status == 1
    mend = "erc store import vectors --modality text --as theirs --id '{split}_{key}' --note 'as it was' --manifest"
    assert mend in err
    assert "erc extract" not in err
    assert world.bring(world.folder / "vectors", "--note", "as it was")[1].endswith("FOREIGN: 1 ok; 107 were there\n")
    status, _, err = world.erc(
        "ablate", world.folder / "foreign.yaml", *world.place, *world.out, "--only", "foreign", "--seeds", 1
    )
    assert (status, err) == (0, "")


def test_heads_reports_and_predictions(world: World) -> None:
    world.bring(world.folder / "vectors", "--model", "their model")
    ablate = ("ablate", world.folder / "foreign.yaml", *world.place, *world.out, "--seeds", 1, "--jobs", 1)
    assert world.erc(*ablate)[0] == 0
    runs, page = world.folder / "runs", world.folder / "report"
    assert world.erc("evaluate", runs, "--split", "dev", *world.place)[0] == 0
    assert world.erc("report", runs, "--out", page)[0] == 0
    html, markdown = (page / "report.html").read_text(), (page / "report.md").read_text()
    assert '<li class="warn">Imported features</li>' in html
    assert "<strong>Imported features.</strong> theirs was imported: others made it" in html
    assert html.count('<span class="tag" title="theirs">imported</span>') == 1
    assert '<span class="tag">foreign</span>' in html
    assert "> **Imported features.** theirs was imported" in markdown
    assert "Imported features" in markdown
    lines = (page / "leaderboard.csv").read_text().splitlines()
    place = lines[0].split(",").index("foreign_features")
    assert sorted(line.split(",")[place] for line in lines[1:]) == ["", "theirs"]

    (run,) = runs.glob("foreign-*")
    (world.folder / "talk.json").write_text(json.dumps([{"speaker": "A", "text": "Hi."}]))
    for given in (["--dialogue", world.folder / "talk.json"], ["--manifest", world.folder / "M.parquet"]):
        status, out, err = world.erc("predict", run, *given)
        assert (status, out) == (1, "")
        assert err == (
            f"erc: {run}: reads theirs, imported vectors, which cannot be computed from raw turns: import theirs by"
            " `erc store import`, and score the run with `erc evaluate`\n"
        )
    assert world.erc("export", run, "--to", world.folder / "model")[0] == 0
    assert "**Imported features:** theirs." in (world.folder / "model" / "README.md").read_text()
    use = Run(run).features.features[0]
    assert (use.weights, use.encoder, use.model, use.settings["source"]) == (
        "foreign",
        "imported",
        "their model",
        "vectors",
    )


def test_a_report_without_imports_says_nothing_of_them(world: World) -> None:
    world.erc("ablate", world.folder / "foreign.yaml", *world.place, *world.out, "--seeds", 1, "--only", "ours")
    assert world.erc("report", world.folder / "runs", "--out", world.folder / "report")[0] == 0
    for name in ("report.html", "report.md"):
        assert "mported" not in (world.folder / "report" / name).read_text()


def test_nested_folds_carry_the_badge(world: World) -> None:
    world.bring()
    status, _, err = world.erc(
        "ablate", world.folder / "foreign.yaml", *world.place, *world.out, "--seeds", 1, "--cv", 2, "--nested",
        "--jobs", 1, "--only", "foreign",
    )  # fmt: skip
    assert (status, err) == (0, "")
    (summary,) = world.folder.glob("runs/*/summary.json")
    file = FoldsFile.model_validate_json(summary.read_text())
    assert [one.foreign for one in file.experiments] == [("theirs",)]
    assert world.erc("report", world.folder / "runs", "--out", world.folder / "report")[0] == 0
    html = (world.folder / "report" / "report.html").read_text()
    assert '<li class="warn">Imported features</li>' in html


def test_explore_and_extract_step_over_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.bring()
    shutil.rmtree(world.folder / "store" / "audio")
    shutil.rmtree(world.folder / "store" / "visual")
    status, out, err = world.erc(
        "explore", "clip", "tiny/train/dia0_utt0", *world.place, "--encoder", "surface", "--encoder", "theirs",
        "--out", world.folder,
    )  # fmt: skip
    assert status == 0
    assert err.strip() == "theirs: not shown: it was imported, and no encoder here makes it"
    assert out.startswith("surface: ok")
    status, _, err = world.erc("extract", "--encoder", "imported", *world.place)
    assert (status, "imported" in err) == (2, True)
    status, _, err = world.erc("extract", "--encoder", "surface", "--as", "theirs", *world.place)
    assert status == 0
    names = [feature.spec.encoder for feature in Store(world.folder / "store").features() if feature.name == "theirs"]
    assert sorted(names) == ["imported", "surface"]


def test_labels_of_the_corpus_are_the_ones_it_was_drawn_with(world: World) -> None:
    """A list of ids that is shifted against labels in the same file is refused by the command, too."""
    manifest = world.manifest
    labels = [LABELS.index(name) for name in manifest.frame["label"]]
    np.savez(
        world.folder / "x.npz", ids=np.roll(manifest.ids, 1), label=labels, v=np.zeros((len(manifest), 3), np.float32)
    )
    status, _, err = world.bring(world.folder / "x.npz")
    assert status == 2
    assert "its label disagrees with the manifest's in " in err
    assert "the ids are shifted, or of another corpus" in err
