"""Scores on another corpus, or on other rows of the same, never stand in for the run's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from far_corpus import MAP, Shell, extract, far_manifest
from small_corpus import edited

from features.digests import sha256_file
from features.errors import RunFileError
from features.manifest import build_manifest, read_manifest, write_manifest
from pipeline.report.write import write_report
from pipeline.runs.folder import Run
from pipeline.runs.identity import split_digests

pytestmark = pytest.mark.usefixtures("without_plots")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def files_of(run: Path) -> dict[str, str]:
    """Every file of a run but those of other corpora, with its digest."""
    found = [path for path in run.rglob("*") if path.is_file() and "other-corpora" not in path.parts]
    return {str(path.relative_to(run)): sha256_file(path) for path in found}


def strip_rows(shell: Shell) -> None:
    """features.json as older versions wrote it: without the digests of splits."""
    for path in shell.runs.glob("*/features.json"):
        record = json.loads(path.read_text())
        del record["manifest"]["splits"]
        path.write_text(json.dumps(record))


@pytest.mark.parametrize("split", ["test", "train"])
def test_another_corpus_leaves_every_file_of_the_run_as_it_was(shell: Shell, split: str) -> None:
    assert shell.evaluate(split=split)[0] == 0
    before = files_of(shell.run("text"))
    status, out, err = shell.evaluate("--manifest", shell.far, "--labels-map", MAP, split=split)
    assert (status, err) == (0, "")
    assert files_of(shell.run("text")) == before
    assert "on far (" in out
    (folder,) = shell.others()
    assert folder.startswith("far-")
    scores = shell.metrics(split, folder)
    assert scores["scored"]["dataset"] == "far"
    assert scores["scored"]["sha256"] == sha256_file(shell.far)
    assert scores["support"] == {"joy": 8, "anger": 8, "neutral": 8}
    assert scores["scored"]["left_out"] == {"calm": 8}
    assert scores["scored"]["labels_map"] == {"glad": "joy", "mad": "anger", "plain": "neutral"}


def test_the_same_labels_in_another_corpus_are_another_corpus_all_the_same(shell: Shell) -> None:
    shell.evaluate()
    own = shell.metrics()
    other = shell.folder / "other.parquet"
    extract(shell.store, far_manifest(other, ("joy", "anger", "neutral"), dataset="other"))
    assert shell.evaluate("--manifest", other)[0] == 0
    assert shell.metrics() == own
    assert shell.metrics(folder=shell.others()[0])["utterances"] == 32


@pytest.mark.parametrize("old", [False, True])
def test_other_rows_of_the_same_corpus_are_kept_apart(shell: Shell, old: bool) -> None:
    shell.evaluate()
    if old:
        strip_rows(shell)
    own = shell.metrics()
    changed = shell.folder / "changed.parquet"
    row = shell.manifest.frame.filter(pl.col("split") == "test").row(0, named=True)
    frame = shell.manifest.frame.filter(pl.col("utterance_id") != row["utterance_id"])
    write_manifest(build_manifest(frame, shell.manifest.card, None, changed), changed)
    assert shell.evaluate("--manifest", changed)[0] == 0
    assert shell.metrics() == own
    assert own["utterances"] == 24
    assert shell.metrics(folder=shell.others()[0])["utterances"] == 23
    shell.erc("report", shell.runs, "--out", shell.folder / "report")
    assert "tiny, other rows" in (shell.folder / "report" / "report.md").read_text()


def test_a_changed_label_in_the_manifest_that_the_run_recorded_makes_other_rows(shell: Shell) -> None:
    shell.evaluate()
    own = shell.metrics()
    row = shell.manifest.frame.filter((pl.col("split") == "test") & (pl.col("label") != "joy")).row(0, named=True)
    edited(shell.manifest, shell.folder / "M.parquet", row["utterance_id"], label="joy")
    assert shell.evaluate()[0] == 0
    assert shell.metrics() == own
    assert shell.metrics(folder=shell.others()[0])["support"]["joy"] == own["support"]["joy"] + 1


@pytest.mark.parametrize("old", [False, True])
def test_training_again_makes_the_test_rows_of_a_changed_manifest_the_runs_own(shell: Shell, old: bool) -> None:
    """The heads are the same: train and dev are. The scores of before are then of other rows, and are not shown."""
    shell.evaluate()
    if old:
        strip_rows(shell)
    row = shell.manifest.frame.filter((pl.col("split") == "test") & (pl.col("label") != "joy")).row(0, named=True)
    edited(shell.manifest, shell.folder / "M.parquet", row["utterance_id"], label="joy")
    features = shell.run("text") / "features.json"
    features.write_text(json.dumps(json.loads(features.read_text()) | {"of_a_newer_version": 1}))
    assert "other test rows of tiny" in shell.evaluate()[1]
    before = shell.metrics()
    assert "4 kept from before" in shell.train()
    record = json.loads(features.read_text())
    assert record["of_a_newer_version"] == 1
    assert record["manifest"]["sha256"] == sha256_file(shell.folder / "M.parquet")
    with pytest.raises(RunFileError, match="holds scores on other test rows than the run's manifest had"):
        Run(shell.run("text")).metrics("test")
    assert shell.evaluate()[0] == 0
    assert Run(shell.run("text")).metrics("test").support["joy"] == before["support"]["joy"] + 1
    kept = features.read_bytes()
    shell.train()
    assert features.read_bytes() == kept


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_the_same_rows_elsewhere_are_the_runs_own(shell: Shell, ending: str, old: bool) -> None:
    if old:
        strip_rows(shell)
    shell.evaluate()
    own = shell.metrics()
    copy = shell.folder / "elsewhere" / f"copy.{ending}"
    write_manifest(read_manifest(shell.folder / "M.parquet"), copy)
    if ending == "csv":  # it has no card, so its labels come sorted
        assert read_manifest(copy).card.labels == ("anger", "joy", "neutral")
    assert shell.evaluate("--manifest", copy)[0] == 0
    assert shell.others() == []
    scores = shell.metrics()
    assert {key: scores[key] for key in own if key != "scored"} == {key: own[key] for key in own if key != "scored"}


def test_a_split_that_the_manifest_got_since_is_the_runs_own(shell: Shell) -> None:
    frame = shell.manifest.frame
    test = frame.filter(pl.col("split") == "test")
    renamed = test.with_columns(
        pl.lit("later").alias("split"),
        pl.col("utterance_id").str.replace("/test/", "/later/"),
        pl.col("dialogue_id").str.replace("/test/", "/later/"),
    )
    grown = build_manifest(pl.concat([frame, renamed]), shell.manifest.card, None, shell.folder / "M.parquet")
    write_manifest(grown, shell.folder / "M.parquet")
    extract(shell.store, grown)
    assert shell.evaluate(split="later")[0] == 0
    assert (shell.others(), shell.metrics("later")["utterances"]) == ([], 24)
    assert shell.evaluate(split="test")[0] == 0
    assert (shell.others(), shell.metrics("test")["utterances"]) == ([], 24)


def test_each_map_and_each_version_of_a_manifest_has_a_folder_of_its_own(shell: Shell) -> None:
    for mapping in (MAP, "glad=joy,mad=anger", MAP):
        assert shell.evaluate("--manifest", shell.far, "--labels-map", mapping)[0] == 0
    assert len(shell.others()) == 2
    copy = shell.folder / "copy.parquet"
    copy.write_bytes(shell.far.read_bytes())
    assert shell.evaluate("--manifest", copy, "--labels-map", MAP)[0] == 0
    assert len(shell.others()) == 2
    extract(shell.store, far_manifest(shell.far, dialogues=9))
    assert shell.evaluate("--manifest", shell.far, "--labels-map", MAP)[0] == 0
    assert len(shell.others()) == 3


def test_labels_of_ones_own_corpus_that_are_mapped_are_kept_apart(shell: Shell) -> None:
    shell.evaluate()
    own = shell.metrics()
    assert shell.evaluate("--labels-map", "joy=joy,anger=joy,neutral=neutral")[0] == 0
    assert shell.metrics() == own
    assert shell.metrics(folder=shell.others()[0])["support"]["anger"] == 0
    assert shell.evaluate("--labels-map", "joy=joy,anger=anger,neutral=neutral")[0] == 0
    assert len(shell.others()) == 1  # a map that changes nothing is none


def test_scores_through_a_map_are_scikit_learns(shell: Shell) -> None:
    from sklearn.metrics import f1_score

    status, out, _ = shell.evaluate("--manifest", shell.far, "--labels-map", "glad=joy,mad=joy,plain=neutral", "--json")
    assert status == 0
    (document,) = json.loads(out)
    assert (document["own"], document["unlabelled"], document["scored"]["left_out"]) == (False, 8, {"calm": 8})
    for seed in (0, 1):
        frame = pl.read_parquet(Path(document["folder"]) / f"seed-{seed}" / "predictions-test.parquet")
        theirs = dict(read_manifest(shell.far).frame.select("utterance_id", "label").iter_rows())
        expected = [{"glad": "joy", "mad": "joy", "plain": "neutral"}.get(theirs[one]) for one in frame["utterance_id"]]
        assert frame["gold"].to_list() == expected
        assert frame["own_label"].to_list() == [theirs[one] for one in frame["utterance_id"]]
        known = frame.filter(pl.col("gold").is_not_null())
        labels = ["joy", "anger", "neutral"]
        each = f1_score(known["gold"], known["predicted"], labels=labels, average=None, zero_division=0)
        weighted = f1_score(known["gold"], known["predicted"], labels=labels, average="weighted", zero_division=0)
        assert document["weighted_f1"]["values"][seed] == pytest.approx(weighted)
        assert document["macro_f1"]["values"][seed] == pytest.approx((each[0] + each[2]) / 2)


def test_train_of_another_corpus_was_not_seen_and_makes_no_slices(shell: Shell) -> None:
    shell.evaluate()
    assert {"speaker-in-train", "text-in-train"} < {one["group"] for one in shell.metrics()["slices"]}
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP)
    groups = {one["group"] for one in shell.metrics(folder=shell.others()[0])["slices"]}
    assert groups == {"emotion-shift", "turn", "duration", "input"}


@pytest.mark.parametrize(
    ("mapping", "status", "problem"),
    [
        (None, 1, "--labels-map 'calm=,glad=,mad=,plain=' (nothing after = leaves a label out)"),
        ("gld=joy", 1, "no label 'gld' in {far}: did you mean 'glad'"),
        ("glad=joi", 1, "glad=joi: the run has no label 'joi': did you mean 'joy'"),
        ("calm=", 1, "maps none of the labels that occur: calm, glad, mad, plain"),
        ("glad=joy,glad=anger", 2, "label 'glad' is given twice"),
        ("glad=joy,mad", 2, "'mad' is not THEIRS=OURS"),
        ("no-such-map", 2, "is neither a file, nor a map that ships (emorynlp-to-meld)"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_the_mend(
    shell: Shell, mapping: str | None, status: int, problem: str
) -> None:
    given = [] if mapping is None else ["--labels-map", mapping]
    found, out, err = shell.erc("evaluate", shell.runs, "--split", "test", "--manifest", shell.far, *given)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert problem.format(far=shell.far) in err
    assert shell.reads() == []


def test_a_map_as_yaml(shell: Shell) -> None:
    path = shell.folder / "map.yaml"
    path.write_text("glad: joy\nmad: anger\nplain: neutral\ncalm:\n")
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP)
    assert shell.evaluate("--manifest", shell.far, "--labels-map", path)[0] == 0
    assert len(shell.others()) == 1  # what is left out by name or by silence is the same
    for text, problem in (
        ("yes: joy", "True is not a label: put it in quotes"),
        ("glad: joy\nglad: anger", "key 'glad' is given twice"),
        ("- glad", "must be a mapping"),
        ("glad: [joy]", "['joy'] is not a label"),
        ("", "must be a mapping"),
    ):
        path.write_text(text)
        status, _, err = shell.evaluate("--manifest", shell.far, "--labels-map", path)
        assert (status, err.count("\n")) == (2, 1)
        assert problem in err


def test_numbers_are_labels_too(shell: Shell) -> None:
    numbered = shell.folder / "numbered.parquet"
    extract(shell.store, far_manifest(numbered, ("0", "1"), dataset="numbered"))
    path = shell.folder / "map.yaml"
    path.write_text("0: joy\n1: anger\n")
    assert shell.evaluate("--manifest", numbered, "--labels-map", path)[0] == 0
    assert shell.metrics(folder=shell.others()[0])["support"] == {"joy": 16, "anger": 16, "neutral": 0}


def test_each_read_of_test_names_the_manifest_and_only_own_ones_count_as_the_runs(shell: Shell) -> None:
    shell.evaluate()
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP)
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP, split="train")
    own, other = shell.reads()
    assert (own["dataset"], own["manifest"], own["own"]) == ("tiny", str(shell.folder / "M.parquet"), True)
    assert (other["dataset"], other["manifest"], other["own"]) == ("far", str(shell.far), False)
    assert (own["digest"], other["digest"]) == (sha256_file(shell.folder / "M.parquet"), sha256_file(shell.far))
    old = {"time": "2025-03-01T12:00:00Z", "experiment": "text", "run": shell.run("text").name, "seeds": [0]}
    with (shell.runs / "test_reads.jsonl").open("a") as file:
        file.write(json.dumps(old) + "\n")
    page = shell.folder / "report"
    write_report(shell.runs, page)
    text = (page / "report.md").read_text()
    assert "Test split: read 2 times" in text
    assert "Test splits of other corpora were read 1 time." in text


def test_the_report_shows_other_corpora_apart(shell: Shell) -> None:
    shell.erc("evaluate", shell.runs, "--split", "test")
    before = shell.erc("report", shell.runs, "--out", shell.folder / "a")[1].splitlines()[0]
    shell.erc("evaluate", shell.runs, "--split", "test", "--manifest", shell.far, "--labels-map", MAP)
    status, out, _ = shell.erc("report", shell.runs, "--out", shell.folder / "b")
    assert (status, out.splitlines()[0]) == (0, before)
    scores = shell.metrics(folder=shell.others()[0])
    mean, std = (100 * scores["weighted_f1"][key] for key in ("mean", "std"))
    row = next(
        line for line in (shell.folder / "b" / "report.md").read_text().splitlines() if line.startswith("| text | Far ")
    )
    assert f"| {mean:.1f} ± {std:.1f} |" in row
    assert "| test | glad → joy, mad → anger, plain → neutral | 8: calm 8 |" in row
    assert row.endswith("| 24 |")
    html = (shell.folder / "b" / "report.html").read_text()
    assert 'id="other-corpora-1"' in html
    assert f"{mean:.1f} <small>± {std:.1f}</small>" in html
    assert 'id="other-corpora-1"' not in (shell.folder / "a" / "report.html").read_text()
    for name in ("a", "b"):
        table = pl.read_csv(shell.folder / name / "leaderboard.csv")
        assert table.filter(pl.col("split") == "test")["utterances"].to_list() == [24, 24]
    found = json.loads(shell.erc("report", shell.runs, "--out", shell.folder / "b", "--json")[1])
    elsewhere = {one["experiment"]: one for one in found["corpora"][0]["elsewhere"]}
    assert elsewhere.keys() == {"text", "small"}
    assert elsewhere["text"]["weighted_f1"]["mean"] == scores["weighted_f1"]["mean"]
    assert elsewhere["text"]["utterances"] == 24


@pytest.mark.with_plots
def test_markup_in_names_of_another_corpus_is_text(shell: Shell) -> None:
    wild = shell.folder / "wild.parquet"
    extract(shell.store, far_manifest(wild, ("<b>x", "y|z"), dataset="<i>wild/../x"))
    (shell.folder / "map.yaml").write_text('"<b>x": joy\n')
    assert shell.evaluate("--manifest", wild, "--labels-map", shell.folder / "map.yaml")[0] == 0
    (folder,) = shell.others()
    assert folder.startswith("_i_wild_.._x-")
    write_report(shell.runs, shell.folder / "report")
    assert "<b>x" not in (shell.folder / "report" / "report.html").read_text()
    assert "&lt;b&gt;x → joy" in (shell.folder / "report" / "report.html").read_text()


def test_damaged_scores_of_another_corpus_are_named_and_the_run_stays(shell: Shell) -> None:
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP)
    (file,) = shell.run("text").glob("other-corpora/*/metrics-test.json")
    for content in ("{", json.dumps(json.loads(file.read_text()) | {"scored": None})):
        file.write_text(content)
        written = write_report(shell.runs, shell.folder / "report")
        assert written.unreadable == ()
        text = (shell.folder / "report" / "report.md").read_text()
        assert f"other-corpora/{file.parent.name}: metrics-test.json" in text.replace("\\", "")
        assert "## Other corpora" not in text


def test_scores_that_older_versions_wrote_over_the_runs_own_are_told_where_they_tell(shell: Shell) -> None:
    """They kept no name of what was scored; on dev the number of utterances is known."""
    path = shell.run("text") / "metrics-dev.json"
    scores = json.loads(path.read_text())
    more = {name: counts | {"ok": counts["ok"] + 6} for name, counts in scores["coverage"].items()}
    path.write_text(json.dumps(scores | {"utterances": 30, "coverage": more, "scored": None}))
    with pytest.raises(RunFileError, match="holds scores on 30 utterances, but the run's dev split had 24"):
        Run(shell.run("text")).metrics("dev")
    written = write_report(shell.runs, shell.folder / "report")
    text = (shell.folder / "report" / "report.md").read_text()
    assert "holds scores on 30 utterances, but the run's dev split had 24; it is left out" in text
    (corpus,) = written.corpora
    assert corpus.selected is not None
    assert (corpus.selected.experiment, corpus.tried.scored) == ("small", 1)
    status, _, err = shell.erc("evaluate", shell.runs, "--split", "test", "--select", "best-dev")
    assert (status, shell.reads()) == (1, [])
    assert "metrics-dev.json holds scores on 30 utterances" in err
    path.write_text(json.dumps(scores | {"scored": None}))  # as an older version wrote the run's own
    assert Run(shell.run("text")).metrics("dev").utterances == 24
    other = scores["scored"] | {"dataset": "far"}
    path.write_text(json.dumps(scores | {"scored": other}))
    with pytest.raises(RunFileError, match="holds scores on far, not on tiny"):
        Run(shell.run("text")).metrics("dev")


def test_predictions_that_older_versions_wrote_over_the_runs_own_make_no_dev_scores(shell: Shell) -> None:
    for file in shell.run("text").glob("seed-*/predictions-dev.parquet"):
        pl.read_parquet(file).head(20).write_parquet(file)
    status, _, err = shell.ablate()
    assert (status, err.count("\n")) == (1, 1)
    assert "is of 20 utterances, but the run's dev split had 24: run `erc evaluate" in err
    assert shell.evaluate(split="dev")[0] == 0
    assert shell.ablate()[0] == 0


def test_compare_reads_the_runs_own_predictions_alone(shell: Shell) -> None:
    shell.erc("evaluate", shell.runs, "--split", "test")
    pair = [shell.run("text"), shell.run("small"), "--split", "test", "--json"]
    before = shell.erc("compare", *pair)
    assert before[0] == 0
    shell.evaluate("--manifest", shell.far, "--labels-map", MAP)
    assert shell.erc("compare", *pair) == before


def test_the_rows_of_a_split_tell_it_from_others_and_its_place_does_not(shell: Shell) -> None:
    manifest = read_manifest(shell.folder / "M.parquet")
    digests = split_digests(manifest)
    turned = pl.concat([one for _, one in sorted(manifest.frame.group_by("dialogue_id"), reverse=True)])
    assert split_digests(replace(manifest, frame=turned)) == digests
    moved = manifest.frame.with_columns(pl.lit("elsewhere.mp4").alias("media"), pl.lit("a remark").alias("note"))
    assert split_digests(replace(manifest, frame=moved)) == digests
    for name in ("label", "text", "speaker", "utterance_id"):
        changed = manifest.frame.with_columns(
            pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("joy")).otherwise(pl.col(name)).alias(name)
        )
        if changed.equals(manifest.frame):
            continue
        found = split_digests(replace(manifest, frame=changed))
        assert {split for split in digests if found[split] != digests[split]} == {"train"}


def test_the_suite_that_ships_for_it_and_its_map() -> None:
    from features.cards import load_card
    from heads.config.suite import read_suite, shipped_suites
    from pipeline.scoring.label_map import read_label_map, shipped_maps

    assert shipped_maps() == ["emorynlp-to-meld"]
    assert "emorynlp-to-meld" not in shipped_suites()
    mapping = read_label_map("emorynlp-to-meld")
    theirs, ours = (load_card(name).labels for name in ("emorynlp", "meld"))
    assert sorted(mapping) == sorted(theirs)
    assert {label for label in mapping.values() if label} <= set(ours)
    assert [label for label, mapped in mapping.items() if mapped is None] == ["peaceful", "powerful"]
    suite = read_suite("meld-to-emorynlp")
    assert "--labels-map emorynlp-to-meld" in suite.description
    assert suite.baseline == "linear"
