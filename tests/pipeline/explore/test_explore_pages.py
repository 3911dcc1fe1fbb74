"""`erc explore` as it is typed: the pages hold what they should, reach nowhere, and show hostile text as text."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore_factory import HOSTILE, LABELS, SPLITS, WIDTH, make_corpus, save, store_feature
from page_checks import findings_of, paths_in

from features.cards import DatasetCard
from features.extras import install_extra
from pipeline.cli import erc, run
from pipeline.explore.embeddings_page import hover_text
from pipeline.explore.scatter import LAYERS

needs_plotly = pytest.mark.skipif(importlib.util.find_spec("plotly") is None, reason="plotly is not installed")
CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)


class Page(HTMLParser):
    """The tags, attributes and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.words = ""
        self._script: str | None = None
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._in_script, self._script = True, dict(attrs).get("type")
            self.scripts.append((self._script, ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.words += data

    def policy(self) -> str:
        return next(str(values["content"]) for tag, values in self.tags if tag == "meta" and "http-equiv" in values)

    def data(self) -> Any:
        return json.loads(next(text for kind, text in self.scripts if kind == "application/json"))


def assert_self_contained(page: Page) -> None:
    """Nothing is loaded from anywhere, and the policy allows just the page's own scripts."""
    for tag, values in page.tags:
        assert tag not in ("link", "iframe", "base", "object", "embed", "form")
        for name, value in values.items():
            assert not name.startswith("on")
            if name in ("src", "href", "action", "data", "xlink:href"):
                assert tag == "a"
                assert str(value).startswith("#")
    run_scripts = [text for kind, text in page.scripts if kind is None]
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run_scripts}
    assert set(re.findall(r"'sha256-([^']+)'", page.policy())) == digests
    assert page.policy().startswith("default-src 'none'; ")
    assert "unsafe-eval" not in page.policy()
    assert re.findall(r"https?:", page.policy()) == []


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with manifest.parquet and a store of two features, one of them with missing rows."""
    manifest = make_corpus(speaker=lambda _, number: "<b>Ross</b>" if number % 2 else f"speaker {number % 5}")
    save(manifest, tmp_path)
    store_feature(tmp_path / "store", manifest, encoder="sentence")
    store_feature(tmp_path / "store", manifest, modality="audio", encoder="logmel", missing=tuple(manifest.ids[3:8]))
    return tmp_path


def explore(capsys: pytest.CaptureFixture[str], what: str, folder: Path, *more: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    words = ["explore", what, "--manifest", folder / "manifest.parquet", "--out", folder / "out", *more]
    if what == "embeddings":
        words += ["--store", folder / "store"]
    status = run(erc, [str(word) for word in words], "erc")
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@needs_plotly
class TestEmbeddings:
    def test_page_and_figures(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = explore(capsys, "embeddings", corpus, "--per-class", 30)
        assert (status, err) == (0, "")
        assert "audio/logmel@" in out
        assert "5 utterances without an embedding (5: the manifest names no clip)" in out
        assert out.splitlines()[-1] == f"page: {corpus / 'out' / 'embeddings.html'}"
        page = Page((corpus / "out" / "embeddings.html").read_text())
        assert_self_contained(page)
        html = re.sub(r"<script.*?</script>", "", (corpus / "out" / "embeddings.html").read_text(), flags=re.DOTALL)
        assert findings_of(html) == []
        assert paths_in(html, corpus) == []
        data = page.data()
        assert data["layers"] == LAYERS
        assert [plot["look"] for plot in data["plots"]] == [0, 0, 1, 1]
        assert [len(plot["points"]) for plot in data["plots"]] == [2, 3, 2, 3]
        for look in data["looks"]:
            assert [group["name"] for group in look["groups"]] == ["neutral", "anger", "joy"]
            assert [len(group["rows"]) for group in look["groups"]] == [30, 30, 30]
        assert "5 (5: the manifest names no clip)" in page.words
        assert sorted(path.suffix for path in (corpus / "out" / "figures").iterdir()) == [".png"] * 4 + [".svg"] * 4
        for path in (corpus / "out" / "figures").glob("*.png"):
            assert path.read_bytes().startswith(b"\x89PNG")

    def test_without_a_neutral_label_the_constant_is_called_majority(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest = make_corpus(DatasetCard("toy", labels=LABELS))
        save(manifest, tmp_path)
        store_feature(tmp_path / "store", manifest, encoder="sentence")
        _, out, _ = explore(capsys, "embeddings", tmp_path, "--dims", 2)
        assert out.splitlines()[0].endswith("majority dev")
        text = Page((tmp_path / "out" / "embeddings.html").read_text()).words
        assert "majority" in text
        assert "always-neutral" not in text
        _, out, _ = explore(capsys, "embeddings", tmp_path, "--dims", 2, "--json")
        scores = json.loads(out)["features"][0]["weighted_f1"]
        assert list(scores) == ["linear_probe", "neighbours", "majority"]
        assert scores["majority"]["dev"] == pytest.approx(1 / 3)

    def test_nothing_of_it_leaves_the_machine(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        explore(capsys, "embeddings", corpus, "--feature", "sentence", "--per-class", 5)
        page = Page((corpus / "out" / "embeddings.html").read_text())
        (script,) = (text for kind, text in page.scripts if kind is None and "plotly.js v" not in text[:100])
        assert "showSendToCloud: false" in script
        assert 'plotlyServerURL: ""' in script
        assert "displaylogo: false" in script

    def test_json(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = explore(
            capsys, "embeddings", corpus, "--modality", "audio", "--dims", 3, "--per-class", 40, "--json"
        )
        assert (status, err) == (0, "")
        document = json.loads(out)
        (feature,) = document["features"]
        assert (feature["name"], feature["missing"], feature["fewer"]) == ("logmel", {"no-media": 5}, {"anger": 32})
        assert (feature["probe_rows"], feature["dev_rows"]) == (SPLITS["train"] - 5, SPLITS["dev"])
        scores = feature["weighted_f1"]
        assert scores["linear_probe"]["dev"] > scores["always_neutral"]["dev"] == pytest.approx(1 / 3)
        (plot,) = feature["plots"]
        assert (plot["method"], plot["dims"], len(plot["explained"])) == ("pca", 3, 3)
        assert Path(plot["png"]).is_file()

    def test_equal_embeddings_are_said_to_be_equal(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        manifest = make_corpus()
        save(manifest, tmp_path)
        equal = {name: np.full(WIDTH, 0.1, np.float32) for name in manifest.ids}
        store_feature(tmp_path / "store", manifest, equal, encoder="sentence")
        status, out, _ = explore(capsys, "embeddings", tmp_path, "--json")
        assert status == 0
        plots = json.loads(out, parse_constant=pytest.fail)["features"][0]["plots"]
        assert [plot["explained"] for plot in plots] == [[0, 0], [0, 0, 0]]
        page = Page((tmp_path / "out" / "embeddings.html").read_text())
        assert "PCA, 3-D (nothing varies: all embeddings that are shown are equal)" in page.words
        assert page.data()["plots"][0]["axes"] == ["PC 1 (0.0%)", "PC 2 (0.0%)"]

    def test_classes_with_fewer_are_named(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = explore(capsys, "embeddings", corpus, "--feature", "sentence", "--per-class", 40)
        assert "classes with fewer than 40 utterances: anger 32" in out
        assert "Fewer than 40 utterances: anger 32." in Page((corpus / "out" / "embeddings.html").read_text()).words

    def test_colours_change_the_pictures_and_not_the_points(
        self, corpus: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pictures, points, names = set(), [], []
        for colour in ("emotion", "speaker", "split"):
            explore(capsys, "embeddings", corpus, "--feature", "sentence", "--dims", 2, "--colour", colour)
            (png,) = (corpus / "out" / "figures").glob("text-*.png")
            pictures.add(png.read_bytes())
            data = Page((corpus / "out" / "embeddings.html").read_text()).data()
            points.append(data["plots"][0]["points"])
            names.append([group["name"] for group in data["looks"][0]["groups"]])
        assert len(pictures) == 3
        assert points[0] == points[1] == points[2]
        assert names[0] == ["neutral", "anger", "joy"]
        assert "&lt;b&gt;Ross&lt;/b&gt;" in names[1]
        assert names[2] == ["train", "dev"]

    def test_the_seed_chooses_the_sample(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shown = []
        for seed in (0, 0, 1):
            explore(capsys, "embeddings", corpus, "--feature", "sentence", "--per-class", 10, "--seed", seed)
            shown.append((corpus / "out" / "embeddings.html").read_bytes())
        assert shown[0] == shown[1]
        assert shown[0] != shown[2]

    def test_hostile_text_is_text(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        explore(capsys, "embeddings", corpus, "--feature", "sentence", "--colour", "speaker")
        text = (corpus / "out" / "embeddings.html").read_text()
        assert "<script>alert" not in text
        assert "<i>corpus" not in text
        page = Page(text)
        assert len(page.scripts) == 3
        hovered = [hover for hover in page.data()["looks"][0]["hover"] if "alert" in hover]
        assert hovered
        assert all("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;" in hover for hover in hovered)
        markup = {tag for hover in page.data()["looks"][0]["hover"] for tag in re.findall("<[^>]*>", hover)}
        assert markup == {"<b>", "</b>", "<br>"}
        for svg in (corpus / "out" / "figures").glob("*.svg"):
            assert "<b>" not in svg.read_text()

    def test_random_weights_and_generated_corpora_say_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest = make_corpus(DatasetCard("toy", labels=LABELS, neutral="neutral", synthetic=True))
        save(manifest, tmp_path)
        store_feature(tmp_path / "store", manifest, encoder="gpt2", weights="random")
        assert explore(capsys, "embeddings", tmp_path)[0] == 0
        words = Page((tmp_path / "out" / "embeddings.html").read_text()).words
        assert "Random weights." in words
        assert "Synthetic corpus." in words

    @pytest.mark.slow
    @pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
    def test_a_browser_draws_it(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        explore(capsys, "embeddings", corpus, "--feature", "sentence", "--colour", "speaker")
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless=new", "--no-sandbox", "--enable-unsafe-swiftshader",
                "--enable-logging=stderr",
                f"--user-data-dir={corpus / 'profile'}", "--window-size=1280,1200", "--virtual-time-budget=10000",
                "--dump-dom", (corpus / "out" / "embeddings.html").as_uri(),
            ],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not [line for line in console if re.search("Content Security Policy|Uncaught|Error", line)]
        drawn = done.stdout.partition("</main>")[0]
        assert drawn.count("js-plotly-plot") == 2
        assert "&lt;b&gt;Ross&lt;/b&gt;" in drawn
        assert "<b>Ross" not in drawn


class TestErrors:
    def one_line(self, found: tuple[int, str, str]) -> str:
        status, out, err = found
        assert status in (1, 2)
        assert out == ""
        assert err.count("\n") == 1
        return err

    def test_without_plotly_the_extra_is_named(
        self, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "plotly" else find(name))
        line = self.one_line(explore(capsys, "embeddings", corpus))
        assert "plotly" in line
        assert install_extra("explore") in line
        assert not (corpus / "out").exists()

    def test_without_umap_nothing_is_done_before_it_is_said(
        self, corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "umap" else find(name) or True)
        line = self.one_line(explore(capsys, "embeddings", corpus, "--method", "umap"))
        assert "umap-learn" in line
        assert install_extra("explore") in line

    @needs_plotly
    def test_each_names_its_mend(self, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        line = self.one_line(explore(capsys, "embeddings", corpus, "--feature", "sentense"))
        assert "did you mean 'sentence'" in line
        line = self.one_line(explore(capsys, "embeddings", corpus, "--method", "umap", "--sphere"))
        assert "--sphere works only with PCA" in line
        shutil.rmtree(corpus / "store")
        assert "no store at" in self.one_line(explore(capsys, "embeddings", corpus))
        (corpus / "store").mkdir()
        assert "holds no feature: make one with `erc extract" in self.one_line(explore(capsys, "embeddings", corpus))
        (corpus / "out").write_text("a file")
        assert "is a file" in explore(capsys, "data", corpus)[2]

    def test_an_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(erc, ["explore", "embedings"], "erc") == 2
        assert "did you mean 'embeddings'" in capsys.readouterr().err


class TestParts:
    def test_a_hovered_text_is_wrapped(self) -> None:
        row = {"speaker": "", "text": "word " * 40, "label": None, "utterance_id": "a/b", "split": "dev"}
        hovered = hover_text(row)
        assert "no label" in hovered
        assert max(len(line) for line in hovered.split("<br>")) < 70
        assert "&lt;script&gt;" in hover_text(row | {"text": HOSTILE})
