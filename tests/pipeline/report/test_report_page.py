"""The written report: escaped, self-contained, the same for the same runs, and whole or not at all."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
from click.testing import CliRunner
from prediction_factory import TURNS, add_predictions, corpus_of
from run_factory import (
    HOG,
    LOGMEL,
    MELD_LABELS,
    MELD_SUPPORT,
    SENTENCE,
    add_suite,
    add_test_read,
    make_run,
    write_json,
)

from features.cards import DatasetCard
from features.digests import sha256_file
from features.errors import ErcError, Reason
from features.manifest import build_manifest, frame_of, write_manifest
from pipeline.commands.report import command
from pipeline.pages import words
from pipeline.report.markdown import text_of
from pipeline.report.write import write_report

ATTACK = "<script>alert(1)</script>"
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "br", "wbr", "input"}


class Page(HTMLParser):
    """Collects text, links and attributes, and sees that every tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def read_page(out: Path) -> Page:
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    return page


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three experiments; text+audio is best on dev and worst on test."""
    folder = tmp_path / "runs"
    make_run(folder, "text", skill=0.5, splits=("dev", "test"))
    make_run(
        folder, "text+audio", features=(SENTENCE, LOGMEL), skill=0.6, splits=("dev", "test"), skill_on={"test": 0.1}
    )
    make_run(folder, "visual", features=(HOG,), collapse=(0, 1, 2), config={"paper": {"exp": 10, "reported": 26}})
    add_test_read(folder, "text", "text")
    add_suite(folder, [("Does sound help?", "text+audio", "text")])
    return folder


def test_the_first_screen_names_the_dev_selected_run_with_its_scores(runs: Path, tmp_path: Path) -> None:
    written = write_report(runs, tmp_path / "out")
    (folder,) = runs.glob("text+audio-*")
    dev, test = (json.loads((folder / f"metrics-{split}.json").read_text()) for split in ("dev", "test"))
    mean, std = (f"{100 * test['weighted_f1'][part]:.1f}" for part in ("mean", "std"))
    expected = (
        f"text+audio, best of 3 configurations on dev, reaches a weighted F1 of {mean} ± {std} over 3 seeds on test, "
    )
    (headline,) = written.headlines
    assert headline.startswith(expected)
    margin = test["weighted_f1"]["mean"] - test["baselines"]["always-neutral"]["weighted_f1"]
    side = "below" if margin < 0 else "above"
    assert headline == f"{expected}{100 * abs(margin):.1f} points {side} always-neutral."
    page = read_page(tmp_path / "out")
    assert headline in page.text
    score = dev["weighted_f1"]
    above = score["mean"] - dev["baselines"]["always-neutral"]["weighted_f1"]
    assert (
        f"On dev, which chose it: {100 * score['mean']:.1f} ± {100 * score['std']:.1f} over 3 seeds, "
        f"{100 * above:.1f} points above always-neutral."
    ) in page.text
    for badge in ("Encoders frozen", "Tried 3 configurations", "Test split read once", "text 100 %, audio 99.6 %"):
        assert badge.replace(" ", "") in page.text.replace(" ", "")


def test_leaderboard_cells_are_the_metrics_files_numbers(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    table = [row for row in read_page(tmp_path / "out").rows if len(row) > 15]
    head = next(row for row in table if row[0] == "Experiment")
    rows = {row[0].split(" ")[0]: row for row in table}
    assert {"text", "text+audio", "visual"} <= set(rows)
    at = {name: place for place, name in enumerate(head)}
    assert "Fusion" not in at  # all runs have the same
    for folder in runs.glob("*-*/metrics-dev.json"):
        values = json.loads(folder.read_text())
        row = rows[values["experiment"].split(" ")[0]]
        score = values["weighted_f1"]
        assert row[1] == f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"
        per_class = [f"{100 * values['per_class_f1'][label]['mean']:.1f}" for label in values["labels"]]
        assert [row[at[label]] for label in values["labels"]] == per_class
        shown = [row[at[name]] for name in ("Macro F1", "Accuracy")]
        assert shown == [f"{100 * values[name]['mean']:.1f}" for name in ("macro_f1", "accuracy")]
    assert rows["visual"][0] == "visual collapsed"
    assert rows["visual"][at["Reported"]] == "26"
    assert rows["visual"][at["test"]] == "–"
    text = read_page(tmp_path / "out").text
    assert "The same for all: fusion concat; context none; loss cross-entropy; seeds 3." in text
    assert "always-neutral" in text
    assert "class-prior" in text
    assert "Does sound help?" in text
    assert "/seed-0/predictions-dev.parquet: is not there: run `erc evaluate " in text


def test_without_published_scores_there_is_no_column_for_them(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text")
    write_report(tmp_path / "runs", tmp_path / "out")
    assert "Reported" not in read_page(tmp_path / "out").text
    assert "Reported" not in (tmp_path / "out" / "report.md").read_text()


def test_everything_from_data_is_shown_as_text(tmp_path: Path) -> None:
    labels = (ATTACK, "b|c", "neutral")
    feature = dataclasses.replace(
        HOG, name=ATTACK, encoder=ATTACK, model=ATTACK, settings={ATTACK: ATTACK}, missing={ATTACK: 2}, weights="random"
    )
    make_run(
        tmp_path / "runs",
        ATTACK,
        folder="run",
        features=(feature,),
        labels=labels,
        support=dict.fromkeys(("train", "dev", "test"), (20, 10, 30)),
        title=ATTACK,
        dataset=ATTACK,
        config={"fusion": {"name": ATTACK}, "loss": [{"name": ATTACK}], "context": {"name": ATTACK}, ATTACK: ATTACK},
    )
    add_suite(tmp_path / "runs", [(ATTACK, ATTACK, ATTACK)])
    add_test_read(tmp_path / "runs", ATTACK, "run", time=ATTACK)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "config.yaml").write_text(f"'{ATTACK}': [")
    write_report(tmp_path / "runs", tmp_path / "out")
    raw = (tmp_path / "out" / "report.html").read_text()
    page = read_page(tmp_path / "out")
    assert "<script>alert" not in raw
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.text.count(ATTACK) > 15
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<script" not in (tmp_path / "out" / "report.md").read_text()
    for figure in (tmp_path / "out" / "figures").iterdir():
        assert b"<script" not in figure.read_bytes()


def test_the_page_needs_nothing_else_and_lets_only_its_own_script_run(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    raw = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = read_page(tmp_path / "out")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", raw.replace("default-src", ""))
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"] for _, attributes in page.tags if "href" in attributes} <= {f"#{name}" for name in ids}
    (script,) = re.findall(r"<script>(.*?)</script>", raw, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in policy
    assert len(raw) < 5_000_000


def test_figures_are_files_that_parse(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    names = sorted(file.name for file in (tmp_path / "out" / "figures").iterdir())
    stems = ["1-architecture", "1-confusion-dev", "1-confusion-test", "1-dev-losses", "1-f1-dev", "1-f1-test"]
    stems += ["1-learning-curves", "1-losses", "1-reliability-dev", "1-reliability-test", "1-train-losses"]
    assert names == [f"{stem}.{form}" for stem in stems for form in ("png", "svg")]
    for stem in stems:
        file = tmp_path / "out" / "figures" / stem
        assert ElementTree.parse(file.with_suffix(".svg")).getroot().tag == f"{SVG}svg"
        assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
    assert all(f"](figures/{stem}.svg)" in (tmp_path / "out" / "report.md").read_text() for stem in stems)


def test_the_confusion_matrix_shows_percent_of_each_gold_label(runs: Path, tmp_path: Path) -> None:
    write_report(runs, tmp_path / "out")
    (folder,) = runs.glob("text+audio-*")
    values = json.loads((folder / "metrics-dev.json").read_text())
    root = ElementTree.parse(tmp_path / "out" / "figures" / "1-confusion-dev.svg").getroot()
    hinted = [group for group in root.iter(f"{SVG}g") if " predicted as " in group.findtext(f"{SVG}title", "")]
    cells = [
        (group.findtext(f"{SVG}title"), group.findtext(f"{SVG}text"))
        for group in hinted
        if group.find(f"{SVG}text") is not None
    ]
    assert len(cells) == 49
    assert {hint for hint, _ in cells} == {
        group.findtext(f"{SVG}title") for group in hinted if group.find(f"{SVG}path") is not None
    }
    for (hint, shown), (gold, predicted) in zip(cells, ((g, p) for g in range(7) for p in range(7)), strict=True):
        number, total = values["confusion"][gold][predicted], sum(values["confusion"][gold])
        labels = values["labels"]
        assert hint == f"{labels[gold]} predicted as {labels[predicted]}: {number:,} of {total:,}"
        assert shown == f"{100 * number / total:.0f}"


def test_equal_runs_give_equal_bytes(runs: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(runs, tmp_path / name)
    first, second = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*.*")
            if file.is_file()
        }
        for name in ("one", "two")
    )
    assert first == second
    assert len(first) == 3 + 2 * 11


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_report(runs, out)
    before = {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()}
    make_run(runs, "newcomer", skill=0.9)
    original = Path.write_bytes

    def full_disk(self: Path, *arguments: object, **options: object) -> int:
        if self.name == "report.html":
            raise OSError(28, "No space left on device")
        return original(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(ErcError, match=r"out: the report cannot be written \(No space left on device\): give another"):
        write_report(runs, out)
    assert {file: file.read_bytes() for file in out.rglob("*.*") if file.is_file()} == before


def test_out_that_is_a_file_is_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ErcError, match=r"out: the report cannot be written \(.+\): give another folder with --out"):
        write_report(runs, tmp_path / "out")


def test_synthetic_corpora_and_random_weights_carry_banners(tmp_path: Path) -> None:
    random = dataclasses.replace(SENTENCE, weights="random")
    make_run(tmp_path / "loud", "run", features=(random, LOGMEL), synthetic=True)
    make_run(tmp_path / "quiet", "run", features=(SENTENCE,))
    for name in ("loud", "quiet"):
        write_report(tmp_path / name, tmp_path / f"out-{name}")
    loud, quiet = (read_page(tmp_path / f"out-{name}") for name in ("loud", "quiet"))
    for page, times in ((loud, 2), (quiet, 0)):
        assert sum("banner" in (attributes.get("class") or "") for _, attributes in page.tags) == times
        assert ("Synthetic corpus." in page.text) == ("Synthetic data" in page.text) == (times > 0)
        assert ("sentence comes from an encoder whose weights are random" in page.text) == (times > 0)
    for name, times in (("loud", 2), ("quiet", 0)):
        text = (tmp_path / f"out-{name}" / "report.md").read_text()
        assert text.count("> **Synthetic corpus.**") + text.count("> **Random weights.**") == times


def test_missing_and_failed_utterances_are_told_in_words(tmp_path: Path) -> None:
    feature = dataclasses.replace(LOGMEL, missing={"no-audio": 3, "odd-reason": 1}, failed={"timed-out": 2}, absent=5)
    make_run(tmp_path / "runs", "audio", features=(feature,))
    write_report(tmp_path / "runs", tmp_path / "out")
    row = next(row for row in read_page(tmp_path / "out").rows if "dev" in row[:2] and "1,109" in row)
    assert row[-4:] == [
        "99.0",
        "3: the clip has no audio stream; 1: odd-reason",
        "2: decoding took longer than the limit",
        "5",
    ]


def test_every_reason_has_words() -> None:
    assert set(words.REASONS) == set(Reason)


def test_numbers_in_words() -> None:
    assert [words.points(value) for value in (0.3071, -0.004, 0.0004, -0.0004, None)] == [
        "+30.7",
        "−0.4",
        "0.0",
        "0.0",
        "–",
    ]
    assert [words.magnitude(value) for value in (None, 12, 1250, 1_250_000)] == ["–", "12", "1.25 k", "1.25 M"]
    assert [words.seconds(value) for value in (None, 9.96, 1234.5)] == ["–", "10.0", "1,234"]
    assert [words.plural(number, "seed") for number in (0, 1, 1200)] == ["0 seeds", "1 seed", "1,200 seeds"]
    assert [words.listed(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_share_is_never_rounded_up_to_all() -> None:
    from pipeline.runs.metrics_file import Coverage

    assert words.share(Coverage(ok=99_999, missing={"no-file": 1})) == "99.9"
    assert words.share(Coverage(ok=5)) == "100"


def test_markdown_tables_keep_their_columns_whatever_the_names(tmp_path: Path) -> None:
    make_run(
        tmp_path / "runs",
        "a|b\\|c `d` *e* [f](g)",
        folder="run",
        labels=("x|y", "neutral", "z"),
        title="T|U",
        support=dict.fromkeys(("train", "dev", "test"), (9, 9, 9)),
    )
    write_report(tmp_path / "runs", tmp_path / "out")
    tables: list[list[str]] = [[]]
    for line in (tmp_path / "out" / "report.md").read_text().splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    found = [table for table in tables if table]
    assert len(found) == 9
    for table in found:
        widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table}
        assert len(widths) == 1
    assert text_of("a|b\\|c") == "a\\|b\\\\\\|c"
    assert text_of("snake_case _x_ <b> & \n y") == "snake_case \\_x\\_ &lt;b&gt; &amp; y"


def test_the_command_reports_and_skips(runs: Path, tmp_path: Path) -> None:
    (runs / "broken").mkdir()
    (runs / "broken" / "features.json").write_text("[")
    result = CliRunner().invoke(command, [str(runs), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "skipped broken: config.yaml is not there" in result.stderr
    assert result.stdout.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert result.stdout.startswith("text+audio, best of 3 configurations on dev")
    assert "Skipped run broken: config.yaml is not there." in read_page(tmp_path / "out").text


def test_the_command_fails_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "config.yaml").write_text("{}")
    result = CliRunner().invoke(command, [str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, ErcError)
    assert result.exception.exit_status == 1
    assert not (tmp_path / "out").exists()


def test_json_is_one_document_on_stdout(runs: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(runs), "--out", str(tmp_path / "out"), "--json"])
    document = json.loads(result.stdout)
    (folder,) = runs.glob("text+audio-*")
    dev = json.loads((folder / "metrics-dev.json").read_text())
    assert document["corpora"][0]["selected"] == "text+audio"
    assert document["corpora"][0]["weighted_f1"]["dev"] == dev["weighted_f1"]
    assert pl.read_csv(document["leaderboard"]).height == 5
    assert document["unreadable"] == []


@pytest.mark.slow
def test_thirty_runs_of_meld_size_stay_small(tmp_path: Path) -> None:
    """With all that a page can have: predictions, the utterances' texts, a question a run, a baseline."""
    rows = []
    for split in ("dev", "test"):
        gold, ids, dialogues = corpus_of(MELD_LABELS, dict(zip(MELD_LABELS, MELD_SUPPORT[split], strict=True)), split)
        for row, (label, utterance, dialogue) in enumerate(zip(gold, ids, dialogues, strict=True)):
            facts = {"utterance_id": utterance, "dataset": "meld", "split": split, "dialogue_id": dialogue}
            said = {"turn": row % TURNS, "speaker": "Ross", "text": f"What {dialogue} says at its turn {row % TURNS}."}
            rows.append(facts | said | {"label": MELD_LABELS[label]})
    card = DatasetCard("meld", "MELD", MELD_LABELS, neutral="neutral")
    manifest = write_manifest(build_manifest(frame_of(rows), card), tmp_path / "meld.parquet")
    names = [f"experiment-{number:02}" for number in range(30)]
    for number, name in enumerate(names):
        run = make_run(
            tmp_path / "runs", name, features=(SENTENCE, LOGMEL, HOG), seeds=range(5), splits=("dev", "test")
        )
        record = json.loads((run / "features.json").read_text())
        record["manifest"] |= {"path": str(manifest), "sha256": sha256_file(manifest)}
        write_json(run / "features.json", record)
        for split in ("dev", "test"):
            add_predictions(run, split, skill=0.3 + number / 60, lacking="audio")
    contrasts = [(f"Is {one} better than {other}?", one, other) for one, other in zip(names[1:], names, strict=False)]
    add_suite(tmp_path / "runs", contrasts, baseline=names[0])
    written = write_report(tmp_path / "runs", tmp_path / "out")
    (corpus,) = written.corpora
    assert all(answer.comparison for answer in corpus.findings.answers)
    assert len(corpus.findings.answers) == 29
    assert corpus.findings.over_baseline.keys() == {"dev", "test"}
    assert "What corpus/test/dia" in written.html.read_text()
    assert written.html.stat().st_size < 1_500_000
