"""`erc store export` of several features: which are meant, what is printed, what is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tool_corpus import FACES, SOUND, WORDS, Corpus, make_corpus

from features.exports.request import Request, command_line
from pipeline.cli import erc, run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"), specs=(WORDS, SOUND, FACES))


def ask(corpus: Corpus, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    manifest = ["--manifest", str(corpus.root / "manifest.parquet")]
    status = run(erc, ["store", "export", str(corpus.root / "store"), *manifest, *words], "erc")
    out, err = capsys.readouterr()
    return status, out, err


def test_several(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"text/sentence@{WORDS.fingerprint[:6]}", "audio/logmel", "visual/hog-colour"]
    features = [word for name in names for word in ("--feature", name)]
    to = tmp_path / "new" / "mmsa.pkl"
    status, out, err = ask(corpus, capsys, "--format", "mmsa", *features, "--to", str(to))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    ids = corpus.manifest.frame["split"].to_list()
    counts = ", ".join(
        f"{theirs} {ids.count(ours)}" for theirs, ours in (("train", "train"), ("valid", "dev"), ("test", "test"))
    )
    assert lines[0].startswith(f"wrote {to}: mmsa: {WORDS.folder}, {SOUND.folder}, {FACES.folder}; {counts}; ")
    for spec, line in zip((WORDS, SOUND, FACES), lines[1:], strict=True):
        gone = len(corpus.manifest) - len(corpus.made[spec.encoder])
        name = f"{spec.modality}/{spec.encoder}@{spec.fingerprint[:8]}"
        assert line == f"{name}: {gone} utterances without an embedding are zeros: see {to}.json"
    status, out, _ = ask(corpus, capsys, "--format", "hf", *features, "--to", str(tmp_path / "hf"), "--json")
    found = json.loads(out)
    assert (status, found["fingerprints"]) == (0, [WORDS.fingerprint, SOUND.fingerprint, FACES.fingerprint])
    assert found["splits"] == {name: ids.count(name) for name in ("test", "train", "dev")}


def test_the_command_of_the_side_file_makes_it_again(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "a.pkl"
    features = ["--feature", "text/sentence", "--feature", "audio/logmel"]
    assert ask(corpus, capsys, "--format", "mmsa", *features, "--length", "3", "--to", str(to))[0] == 0
    told = json.loads((tmp_path / "a.pkl.json").read_text())["command"]
    assert told == command_line(Request(corpus.features(WORDS, SOUND), corpus.manifest, 3), "mmsa")
    here = {"STORE": str(corpus.root / "store"), "OUT": str(tmp_path / "b.pkl")}
    here["manifest.parquet"] = str(corpus.root / "manifest.parquet")
    assert run(erc, [here.get(word, word) for word in told.split()[1:]], "erc") == 0
    assert (tmp_path / "b.pkl").read_bytes() == to.read_bytes()
    assert (tmp_path / "b.pkl.json").read_bytes() == (tmp_path / "a.pkl.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--feature sentence", "--feature sentence has no modality: write text/sentence, or give --modality text"),
        ("--feature sound/logmel", "'sound' is not a modality: choose one of text, audio, visual"),
        (
            "--modality text --feature audio/logmel",
            "--feature audio/logmel is not of --modality text: leave --modality out",
        ),
        (
            "--feature text/sentence --feature audio/logmel",
            "parquet holds one feature: give one --feature, or --format mmsa",
        ),
        (
            "--feature text/sentence --length 4",
            "--length works only with --format mmsa: parquet keeps sequences as they are",
        ),
        ("--format hf --feature text/sentence --length 4", "--length works only with --format mmsa: hf keeps"),
    ],
)
def test_what_is_refused(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    status, _, err = ask(corpus, capsys, *words.split(), "--to", str(tmp_path / "out"))
    assert (status, err.count("\n")) == (2, 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", ["mmsa", "mertools", "conv-emotion", "hf"])
def test_a_manifest_is_needed(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], file_format: str
) -> None:
    words = ["store", "export", str(corpus.root / "store"), "--feature", "text/sentence", "--to", str(tmp_path / "out")]
    assert run(erc, [*words, "--format", file_format], "erc") == 2
    assert f"{file_format} needs splits, texts and labels: give --manifest" in capsys.readouterr().err


def test_calls_of_before(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--modality and a name, and the same file by the new way of naming it."""
    for to, words in (("a", ["--modality", "audio", "--feature", "logmel"]), ("b", ["--feature", "audio/logmel"])):
        assert ask(corpus, capsys, *words, "--to", str(tmp_path / to))[0] == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
