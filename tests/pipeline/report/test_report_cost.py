"""The cost table: what the store's ledgers say of the very features that the runs used, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_factory import SENTENCE, make_run, write_json
from store_factory import make_manifest, make_spec
from test_report_page import read_page

from features.store import Feature, open_writer
from features.store.ledger import LedgerRow
from pipeline.pages import words
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.evidence import with_findings
from pipeline.report.read import read_runs
from pipeline.report.write import write_report
from pipeline.terminal.tables import bytes_text

pytestmark = pytest.mark.usefixtures("without_plots")


def make_store(
    root: Path, decode: float | None = 2.0, encode: float = 0.5, counts: dict[str, int] | None = None
) -> Feature:
    """Four utterances of one feature, each decoded and encoded in so many seconds."""
    manifest, spec = make_manifest(4), make_spec()
    digests = manifest.source_digests("text")
    with open_writer(root, spec) as writer:
        lines = [
            LedgerRow(key, digests[row], seconds_decode=decode, seconds_encode=encode, counts=counts or {})
            for row, key in enumerate(manifest.ids)
        ]
        writer.commit(0, lines, {key: np.zeros(3, np.float32) for key in manifest.ids}, False)
    return Feature(root, spec.folder)


def use(run: Path, feature: Feature, **changes: Any) -> None:
    """Let the run's record say that it used a feature of a store."""
    record = json.loads((run / "features.json").read_text())
    used = {"folder": feature.folder, "fingerprint": feature.fingerprint, "name": feature.name} | changes
    write_json(run / "features.json", record | {"store": str(feature.root), "features": [record["features"][0] | used]})


def judged(runs: Path) -> Corpus:
    (corpus,) = corpora_of(read_runs(runs))
    return with_findings(corpus)


def cost_row(out: Path, folder: str) -> list[str]:
    return next(row for row in read_page(out).rows if row and row[0] == folder and len(row) == 7)


def test_seconds_rates_and_bytes_are_the_ledgers(tmp_path: Path) -> None:
    feature = make_store(tmp_path / "store")
    use(make_run(tmp_path / "runs", "run"), feature)
    write_report(tmp_path / "runs", tmp_path / "out")
    num_bytes = sum(path.stat().st_size for path in feature.path.iterdir())
    row = cost_row(tmp_path / "out", feature.folder)
    assert row[1:] == ["4", "8.0", "0.50", "2.0", "2.00", bytes_text(num_bytes)]
    text = (tmp_path / "out" / "report.md").read_text()
    assert f"| {feature.folder} | 4 | 8.0 | 0.50 | 2.0 | 2.00 | {bytes_text(num_bytes)} |" in text
    assert "not at hand" not in text
    assert "not at hand" not in read_page(tmp_path / "out").text


def test_no_time_gives_no_rate(tmp_path: Path) -> None:
    feature = make_store(tmp_path / "store", decode=None, encode=0.001)
    use(make_run(tmp_path / "runs", "run"), feature)
    (cost,) = judged(tmp_path / "runs").findings.costs
    assert (cost.seconds_decode, cost.decode_rate) == (None, None)
    assert cost.seconds_encode == pytest.approx(0.004)
    assert cost.encode_rate is None


@pytest.mark.parametrize("trouble", ["gone", "other fingerprint", "damaged"])
def test_what_the_store_does_not_say_is_not_guessed(tmp_path: Path, trouble: str) -> None:
    feature = make_store(tmp_path / "store")
    run = make_run(tmp_path / "runs", "run")
    use(run, feature, **({"fingerprint": "0" * 64} if trouble == "other fingerprint" else {}))
    if trouble == "gone":
        shutil.rmtree(tmp_path / "store")
    if trouble == "damaged":
        next(feature.path.glob("*.parquet")).write_bytes(b"PAR1")
    write_report(tmp_path / "runs", tmp_path / "out")
    assert cost_row(tmp_path / "out", feature.folder)[1:] == ["–"] * 6
    said = f"The store of {feature.folder} is not at hand"
    assert said in read_page(tmp_path / "out").text
    assert said in (tmp_path / "out" / "report.md").read_text()


def test_runs_that_recorded_no_store_have_no_cost(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    record = json.loads((run / "features.json").read_text())
    del record["store"]
    write_json(run / "features.json", record)
    findings = judged(tmp_path).findings
    assert [cost.num_bytes for cost in findings.costs] == [None]
    assert SENTENCE.folder in findings.cost_notes[0]


def test_a_store_that_any_run_recorded_will_do(tmp_path: Path) -> None:
    feature = make_store(tmp_path / "store")
    for name, skill in (("first", 0.7), ("second", 0.5)):
        use(make_run(tmp_path / "runs", name, skill=skill), feature)
    first = next((tmp_path / "runs").glob("first-*/features.json"))
    write_json(first, json.loads(first.read_text()) | {"store": str(tmp_path / "nowhere")})
    (cost,) = judged(tmp_path / "runs").findings.costs
    assert cost.embedded == 4


def test_training_is_summed_over_seeds_where_all_are_known(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "runs", name, seeds=(0, 1)) for name in ("a", "b")]
    results = [json.loads(file.read_text()) for folder in folders for file in folder.glob("seed-*/result.json")]
    total = sum(result["train_seconds"] for result in results)
    assert judged(tmp_path / "runs").train_seconds == pytest.approx(total)
    write_report(tmp_path / "runs", tmp_path / "out")
    said = f"4 heads trained in {total:.1f} s, summed"
    assert said in read_page(tmp_path / "out").text
    assert said in (tmp_path / "out" / "report.md").read_text()
    file = folders[0] / "seed-1" / "result.json"
    write_json(file, {key: value for key, value in json.loads(file.read_text()).items() if key != "train_seconds"})
    assert judged(tmp_path / "runs").train_seconds is None
    write_report(tmp_path / "runs", tmp_path / "out")
    assert "4 heads trained; seconds not known" in read_page(tmp_path / "out").text


def test_numbers_of_the_cost_table_in_words() -> None:
    assert [words.rate(value) for value in (None, 0.516, 13.44, 1204.2)] == ["–", "0.52", "13.4", "1,204"]
    assert [words.size(value) for value in (None, 712, 1_500_000)] == ["–", "712 B", "1.5 MB"]
    assert [words.p_value(value) for value in (None, 0.0004, 0.0126, 1.0)] == ["–", "<0.001", "0.013", "1.000"]


@pytest.mark.parametrize(("unknown", "told"), [(6, True), (0, False), (None, False)])
def test_texts_that_the_encoder_could_hardly_read_are_told(tmp_path: Path, unknown: int | None, told: bool) -> None:
    counts = {"num_tokens": 10} | ({} if unknown is None else {"num_unknown": unknown})
    feature = make_store(tmp_path / "store", counts=counts)
    use(make_run(tmp_path / "runs", "run"), feature)
    note = f"The encoder of {feature.folder} can hardly read its texts: 60 % of their tokens are unknown to it."
    findings = judged(tmp_path / "runs").findings
    assert findings
    assert (note in findings.cost_notes) == told
    write_report(tmp_path / "runs", tmp_path / "out")
    assert ("can hardly read its texts" in (tmp_path / "out" / "report.md").read_text()) == told
