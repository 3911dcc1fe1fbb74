"""`erc store`: what the commands print, what they exit with, and that they refuse in one line."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from store_damage import committed_again, failing_reads, files_of, flip, of_later_format, recommitted, without_specs
from store_factory import make_manifest, make_spec

from features.errors import Reason, UnavailableError
from features.manifest import Manifest, write_manifest
from features.spec import EncoderSpec
from features.store import Feature, Store, write_feature
from features.store.checksums import sums_path
from features.store.export import export_feature
from features.store.lock import writer_lock
from features.store.write import library_versions
from pipeline.cli import erc, run
from pipeline.commands.store_gc import used_fingerprints

RUN = "from pipeline.cli import main; main()"
SPEC = make_spec()
RANDOM = make_spec(modality="audio", encoder="wav2vec2", weights="random", alias="loud", compute_dtype="bf16")


def write(store: Path, spec: EncoderSpec = SPEC, text: str = "text", value: float = 0.0) -> Manifest:
    manifest = make_manifest(70, text=lambda number: f"{text} {number}")
    gone = {manifest.ids[0]: UnavailableError(Reason.NO_TEXT), manifest.ids[1]: UnavailableError(Reason.TIMED_OUT)}
    write_feature(store, spec, manifest, {key: np.full(3, value, np.float32) for key in manifest.ids}, gone)
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write(tmp_path / "store")
    write(tmp_path / "store", RANDOM)
    return tmp_path / "store"


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `erc store ARGUMENTS`."""
    status = run(erc, ["store", *map(str, arguments)], "erc")
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    status, out, _ = ask(capsys, *arguments, "--json")
    return status, json.loads(out)


class TestVerify:
    def test_sound(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = ask(capsys, "verify", store)
        assert (status, err) == (0, "")
        assert out.startswith(f"{store}: sound: 2 features, 4 shards, 140 rows (136 ok), ")
        assert out.count("\n") == 1
        status, found = document(capsys, "verify", store)
        assert status == 0
        assert found["ok"] is True
        assert found["faults"] == found["notes"] == found["repaired"] == found["not_repaired"] == []
        assert {item["feature"]: (item["shards"], item["rows"]) for item in found["features"]} == {
            SPEC.folder: (2, 70),
            RANDOM.folder: (2, 70),
        }

    def test_each_fault_is_a_line(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flip(store / SPEC.folder / "00001.h5")
        (store / RANDOM.folder / "00000.parquet").unlink()
        status, out, _ = ask(capsys, "verify", store)
        assert status == 1
        lines = out.splitlines()
        assert lines[0].startswith(f"{store / SPEC.folder / '00001.h5'}: checksum: its sha256 begins ")
        assert lines[1].startswith(f"{store / RANDOM.folder / '00000.parquet'}: absent: ")
        assert lines[2] == (
            f"{store}: 2 faults in 2 features: `erc store verify {store} --repair` moves damaged shards away, then"
            " `erc extract` makes them again"
        )
        status, found = document(capsys, "verify", store)
        assert status == 1
        assert found["ok"] is False
        assert [(fault["feature"], Path(fault["path"]).name, fault["kind"]) for fault in found["faults"]] == [
            (SPEC.folder, "00001.h5", "checksum"),
            (RANDOM.folder, "00000.parquet", "absent"),
        ]
        assert all(fault["detail"] for fault in found["faults"])

    def test_repair(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flip(store / SPEC.folder / "00001.h5")
        (store / RANDOM.folder / f".tmp-{'0' * 32}-00000000").write_bytes(b"half")
        status, out, err = ask(capsys, "verify", store, "--repair")
        assert status == 0
        lines = out.splitlines()
        (place,) = (store / SPEC.folder / ".damaged").iterdir()
        assert lines[0] == f"{store / SPEC.folder / '00001'}.*: moved to {place} (checksum)"
        assert f"00000000: moved to {store / RANDOM.folder}/.damaged/" in lines[1]
        assert lines[1].endswith(" (orphan)")
        assert lines[2] == f"{store}: 2 repaired: `erc extract` makes again what was moved away"
        assert lines[3].startswith(f"{store}: sound: 2 features, 3 shards, ")
        size = sum(path.stat().st_size for path in place.iterdir())
        assert f"note: {place.parent}: 3 files ({size:,} bytes) that repair moved away" in err
        assert f"`rm -r {place.parent}`" in err
        assert ask(capsys, "verify", store)[0] == 0
        assert ask(capsys, "verify", store, "--repair")[1].startswith(f"{store}: sound: ")
        flip(store / SPEC.folder / "00000.json")
        status, found = document(capsys, "verify", store, "--repair")
        assert (status, found["ok"], len(found["repaired"])) == (0, True, 1)

    def test_what_repair_cannot_mend_fails(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        without_specs(Feature(store, SPEC.folder))
        flip(store / SPEC.folder / "spec.json")
        status, out, err = ask(capsys, "verify", store, "--repair")
        assert status == 1
        assert "spec.json: spec: " in out
        assert out.splitlines()[-1] == f"{store}: 1 faults in 1 features that no repair mends: see each of them"
        assert "nothing else was moved: first its spec.json must be mended" in err

    def test_a_spec_is_written_again(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = store / SPEC.folder / "spec.json"
        text = path.read_text()
        flip(path)
        status, out, _ = ask(capsys, "verify", store)
        assert status == 1
        assert "`--repair` writes it again from the ledger of shard 00001" in out
        status, out, _ = ask(capsys, "verify", store, "--repair")
        assert status == 0
        assert out.startswith(f"{path}: the old one was moved to {path.parent}/.damaged/")
        assert out.splitlines()[0].endswith("and it was written again from the ledger of shard 00001")
        assert path.read_text() == text

    def test_what_cannot_be_read(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = store / SPEC.folder / "00001.h5"
        flip(store / RANDOM.folder / "00001.h5")
        before = files_of(store / SPEC.folder)
        with failing_reads(path, number=errno.EACCES):
            status, out, _ = ask(capsys, "verify", store)
            assert status == 1
            lines = out.splitlines()
            assert lines[0] == (
                f"{path}: unreadable: cannot be read (Permission denied): ask for the right to read it, or mend its"
                " rights and those of its folders, then run the same command again; nothing is lost"
            )
            assert lines[2] == (
                f"{store}: 1 faults in 1 features: `erc store verify {store} --repair` moves damaged shards away, then"
                " `erc extract` makes them again; 1 could not be read, which is not damage: nothing is lost, see what"
                " prevents reading"
            )
            status, out, _ = ask(capsys, "verify", store, "--repair")
            assert status == 1
            assert out.splitlines()[-1] == (
                f"{store}: 1 could not be read, which is not damage: nothing is lost, see what prevents reading"
            )
            assert "sound" not in out
            status, found = document(capsys, "verify", store)
            assert (status, found["ok"], [fault["kind"] for fault in found["faults"]]) == (1, False, ["unreadable"])
        assert files_of(store / SPEC.folder) == before
        assert ask(capsys, "verify", store)[0] == 0

    def test_a_later_version(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        of_later_format(store / SPEC.folder / "00001.json")
        status, out, _ = ask(capsys, "verify", store, "--repair")
        assert status == 1
        assert out.splitlines() == [
            f"{store / SPEC.folder / '00001.json'}: format: is of format 2, this version reads 1: a later version wrote"
            " its shard: upgrade",
            f"{store}: 1 were written by a later version: upgrade",
        ]
        assert (store / SPEC.folder / "00001.h5").exists()

    def test_shards_of_different_versions(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        feature = Feature(store, SPEC.folder)
        recommitted(feature, "00001", lambda metadata: metadata.update({"version.torch": "0.1"}))
        torch = library_versions()["torch"]
        status, _, err = ask(capsys, "verify", store)
        expected = f"{SPEC.folder}: shards of different versions: torch {torch} (1 shards), 0.1 (1 shards)"
        assert (status, err) == (0, f"note: {expected}\n")
        status, out, _ = ask(capsys, "ls", store)
        assert status == 0
        assert f"text/surface@{SPEC.fingerprint[:8]} holds shards of different versions: torch {torch} (1" in out
        assert document(capsys, "ls", store)[1]["features"][0]["mixed_versions"] == [
            f"torch {torch} (1 shards), 0.1 (1 shards)"
        ]

    def test_a_run_at_work(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (store / SPEC.folder / "00002.h5").write_bytes(b"in hand")
        with writer_lock(store / SPEC.folder):
            status, _, err = ask(capsys, "verify", store)
            assert status == 0
            assert "note:" in err
            assert "a run may be writing it" in err
            status, out, err = ask(capsys, "verify", store, "--repair")
            assert status == 1
            assert f"not repaired: {store / SPEC.folder}: another run is writing it (host" in err
            assert out.splitlines()[-1] == f"{store}: 1 features were not repaired"
        assert ask(capsys, "verify", store)[0] == 1

    def test_manifest(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        edited = make_manifest(77, text=lambda number: "new" if number == 3 else f"text {number}")
        path = write_manifest(edited, tmp_path / "manifest.parquet")
        status, _, err = ask(capsys, "verify", store, "--manifest", path)
        assert status == 0
        assert err.count("no row for 7 utterances of the manifest") == 2
        assert err.count("1 rows were made from other input") == 2
        status, _, err = ask(capsys, "verify", store, "--manifest", path, "--repair")
        assert (status, "do not go together" in err) == (2, True)

    def test_no_store(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for place, match in (("nowhere", "no store at "), (".", "holds no feature")):
            status, out, err = ask(capsys, "verify", tmp_path / place)
            assert (status, out) == (1, "")
            assert match in err
            assert err.count("\n") == 1


class TestVerifyExport:
    @pytest.fixture(params=["parquet", "hdf5", "npy"])
    def export(self, store: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        feature = next(feature for feature in Store(store).features() if feature.folder == SPEC.folder)
        return export_feature(feature, tmp_path / f"out.{request.param}", request.param).path

    def test_sound(self, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = ask(capsys, "verify", export)
        assert (status, err) == (0, "")
        rows = 70 if export.suffix == ".parquet" else 68
        files = "5 files" if export.is_dir() else "1 file"
        assert out.startswith(
            f"{export}: sound: {SPEC.folder}, {rows} rows, crc32 of 68 embeddings, sha256 of {files}, "
        )
        assert out.count("\n") == 1
        status, found = document(capsys, "verify", export)
        assert (status, found["ok"], found["faults"], found["notes"]) == (0, True, [], [])
        assert (found["format"], found["feature"]) == (export.suffix[1:], SPEC.folder)
        assert (found["utterances"], found["embeddings"], found["fingerprint"]) == (rows, 68, SPEC.fingerprint)

    def test_damaged(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(tmp_path / "other", value=1.5)
        export = export_feature(Store(tmp_path / "other").features()[0], tmp_path / "out", "npy").path
        content = bytearray((export / "embedding.npy").read_bytes())
        content[-1] ^= 1
        (export / "embedding.npy").write_bytes(content)
        status, out, _ = ask(capsys, "verify", export)
        last = make_manifest(70).ids[-1]
        assert status == 1
        lines = out.splitlines()
        assert lines[0].startswith(f"{export / 'embedding.npy'}: sha256: begins ")
        assert lines[1] == f"{export}: crc32: 1 of 68 rows have other bytes than were exported: {last}"
        assert lines[2] == f"{export}: 2 faults: export it again with --overwrite, or copy it again"
        status, found = document(capsys, "verify", export)
        assert (status, found["ok"]) == (1, False)
        assert [(fault["kind"], fault["rows"]) for fault in found["faults"]] == [("sha256", []), ("crc32", [last])]

    def test_without_its_sums(self, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
        sums = sums_path(export)
        sums.unlink()
        status, out, err = ask(capsys, "verify", export)
        assert status == 0
        assert err == f"note: {sums} is absent: only the crc32 of each row is compared, not every byte\n"
        assert "no sha256" in out

    def test_what_is_of_stores(self, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for flags in (["--repair"], ["--manifest", "manifest.parquet"]):
            status, out, err = ask(capsys, "verify", export, *flags)
            assert (status, out) == (2, "")
            assert "is an export: --repair and --manifest work only on stores" in err

    def test_no_export(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = ask(capsys, "verify", tmp_path / "nowhere.parquet")
        assert (status, out) == (1, "")
        assert "no export at" in err
        assert err.count("\n") == 1


class TestList:
    def test_table(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = ask(capsys, "ls", store)
        assert status == 0
        header, text, audio, banner = out.splitlines()
        assert header.split()[0] == "feature"
        assert text.split()[:9] == [
            f"text/surface@{SPEC.fingerprint[:8]}", "surface", "none", "fp32", "3", "68", "1", "1",
            text.split()[8],
        ]  # fmt: skip
        assert f"audio/loud@{RANDOM.fingerprint[:8]}" in audio
        assert "RANDOM" in audio
        assert "bf16" in audio
        assert banner == f"RANDOM WEIGHTS, for tests and benchmarks only: audio/loud@{RANDOM.fingerprint[:8]}"

    def test_json(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for number, stem in enumerate(["00000", "00001"]):
            committed_again(Feature(store, SPEC.folder), stem, 1 + number)
        status, found = document(capsys, "ls", store)
        assert status == 0
        text, audio = found["features"]
        assert (text["fingerprint"], text["weights"], text["alias"]) == (SPEC.fingerprint, "none", None)
        assert (audio["encoder"], audio["alias"], audio["weights"]) == ("wav2vec2", "loud", "random")
        assert [text[key] for key in ("ok", "missing", "failed", "shards", "superseded")] == [68, 1, 1, 4, 2]
        size = sum(path.stat().st_size for path in (store / SPEC.folder).iterdir())
        assert text["bytes"] == size
        assert text["written_at"] is not None
        assert found["damaged"] == []

    def test_what_is_damaged_has_its_line(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flip(store / SPEC.folder / "spec.json")
        (store / RANDOM.folder / "00001.parquet").unlink()
        status, out, _ = ask(capsys, "ls", store)
        assert status == 1
        header, audio, spec, ledger, _ = out.splitlines()
        assert header.startswith("feature")
        assert audio.startswith(f"audio/loud@{RANDOM.fingerprint[:8]}")
        assert spec.startswith(f"damaged, not counted: {store / SPEC.folder / 'spec.json'}: ")
        assert "`erc store verify STORE --repair` writes it again" in spec
        assert ledger.startswith(f"damaged, not counted: {store / RANDOM.folder / '00001.parquet'}: is gone: ")
        status, found = document(capsys, "ls", store)
        assert status == 1
        assert [item["fingerprint"] for item in found["features"]] == [RANDOM.fingerprint]
        assert [(item["feature"], item["kind"]) for item in found["damaged"]] == [
            (SPEC.folder, "damaged"),
            (RANDOM.folder, "damaged"),
        ]

    def test_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for place, match in (("nowhere", "no store at "), (".", "holds no feature")):
            status, out, err = ask(capsys, "ls", tmp_path / place)
            assert (status, out) == (1, "")
            assert match in err
            assert "erc extract" in err
            assert err.count("\n") == 1

    def test_the_default_store(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ERC_STORE", str(store))
            assert document(capsys, "ls")[1]["store"] == str(store)


class TestGarbage:
    @pytest.fixture
    def full(self, store: Path) -> Path:
        """Two superseded shards and an orphan."""
        for number, stem in enumerate(["00000", "00001"]):
            committed_again(Feature(store, SPEC.folder), stem, 1 + number)
        (store / RANDOM.folder / "00009.h5").write_bytes(b"orphan")
        return store

    def test_dry_run(self, full: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = sorted(full.rglob("*"))
        status, out, _ = ask(capsys, "gc", full, "--dry-run")
        assert status == 0
        assert "3 to remove, " in out
        assert f"{RANDOM.folder}/00009.h5" in out
        assert f"{SPEC.folder}/00001.*" in out
        assert sorted(full.rglob("*")) == before
        status, found = document(capsys, "gc", full, "--dry-run")
        assert [item["kind"] for item in found["garbage"]] == ["superseded", "superseded", "orphan"]
        assert (found["dry_run"], found["removed_bytes"]) == (True, 0)

    def test_yes(self, full: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = Feature(full, SPEC.folder).ledger().sort("utterance_id")
        size = sum(path.stat().st_size for path in full.rglob("*") if path.is_file())
        status, found = document(capsys, "gc", full, "--yes")
        assert status == 0
        assert found["removed_bytes"] == found["bytes"]
        assert sum(path.stat().st_size for path in full.rglob("*") if path.is_file()) == size - found["bytes"]
        assert Feature(full, SPEC.folder).ledger().sort("utterance_id").equals(before)
        assert ask(capsys, "gc", full, "--yes")[1] == f"{full}: nothing to remove\n"
        assert ask(capsys, "verify", full)[0] == 0

    def test_manifests(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        old = write_manifest(make_manifest(70), tmp_path / "old.parquet")
        new = write_manifest(write(store, text="new"), tmp_path / "new.parquet")
        status, out, err = ask(capsys, "gc", store, "--yes")
        assert (status, out) == (0, f"{store}: nothing to remove\n")
        assert err.startswith(f"note: {SPEC.folder}: 2 shards (")
        assert "name all manifests in use with --manifest" in err
        assert ask(capsys, "gc", store, "--manifest", old, "--manifest", new)[1] == f"{store}: nothing to remove\n"
        status, found = document(capsys, "gc", store, "--manifest", new, "--yes")
        assert [(item["feature"], item["name"]) for item in found["garbage"]] == [
            (SPEC.folder, "00000"),
            (SPEC.folder, "00001"),
        ]
        assert (status, found["removed_bytes"], found["notes"]) == (0, found["bytes"], [])
        assert [name.stem for name in Feature(store, SPEC.folder).names] == ["00000.1", "00001.1"]

    @pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 2), ("n\n", 130, 4)])
    def test_it_asks(
        self, full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        answer: str, status: int, left: int,
    ) -> None:  # fmt: skip
        import io

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert ask(capsys, "gc", full)[0] == status
        assert len(Feature(full, SPEC.folder).names) == left

    def test_it_refuses_where_it_cannot_ask(self, full: Path) -> None:
        before = sorted(full.rglob("*"))
        done = subprocess.run(
            [sys.executable, "-c", RUN, "store", "gc", str(full)], capture_output=True, text=True, input="y\n"
        )
        assert done.returncode == 2
        assert done.stderr == "erc: gc asks before it removes anything, and here it cannot: give --yes, or --dry-run\n"
        assert sorted(full.rglob("*")) == before

    def test_features_that_no_run_uses(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        runs = tmp_path / "runs"
        status, _, err = ask(capsys, "gc", store, "--unused", runs, "--yes")
        assert (status, "no folder of runs at" in err) == (1, True)
        (runs / "deep" / "mine-12345678").mkdir(parents=True)
        status, _, err = ask(capsys, "gc", store, "--unused", runs, "--yes")
        assert (status, "holds no run: every feature would be unused" in err) == (1, True)
        (runs / "deep" / "mine-12345678" / "features.json").write_text('{"features": [{}]}')
        status, _, err = ask(capsys, "gc", store, "--unused", runs, "--yes")
        assert (status, "features.json: cannot be read (KeyError" in err) == (1, True)
        named = {"features": [{"fingerprint": SPEC.fingerprint}]}
        (runs / "deep" / "mine-12345678" / "features.json").write_text(json.dumps(named))
        status, out, _ = ask(capsys, "gc", store, "--unused", runs, "--yes")
        assert status == 0
        assert f"{RANDOM.folder}" in out
        assert "unused" in out
        assert not (store / RANDOM.folder).exists()
        assert (store / SPEC.folder / "spec.json").exists()

    def test_runs_that_were_trained_name_their_features(self, tmp_path: Path) -> None:
        """features.json as `erc train` writes it."""
        import small_corpus

        from heads.config.suite import read_suite
        from pipeline.runs.json_files import write_model
        from pipeline.suites.plan import Source, describe_features, make_plan

        manifest = small_corpus.make_manifest(tmp_path / "M.parquet")
        root = small_corpus.make_store(tmp_path / "store", manifest)
        (tmp_path / "s.yaml").write_text("experiments:\n  both: {inputs: {text: [sentence], audio: [logmel]}}\n")
        source = Source.open(root, manifest)
        (planned,) = make_plan(read_suite(str(tmp_path / "s.yaml")).experiments, source).planned
        (tmp_path / "runs" / "both").mkdir(parents=True)
        write_model(tmp_path / "runs" / "both" / "features.json", describe_features(planned, source, "erc train"))
        used = {small_corpus.SENTENCE.fingerprint, small_corpus.LOGMEL.fingerprint}
        assert used_fingerprints(tmp_path / "runs") == used


class TestExport:
    def test_parquet(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "out.parquet"
        flags = ["export", store, "--modality", "audio", "--feature", f"loud@{RANDOM.fingerprint[:4]}", "--to", out]
        status, text, _ = ask(capsys, *flags)
        assert status == 0
        assert text.startswith(
            f"wrote {out}: {RANDOM.folder}, RANDOM WEIGHTS, 68 embeddings, 2 utterances without one, "
        )
        assert pl.read_parquet(out).height == 70
        status, _, err = ask(capsys, *flags)
        assert status == 2
        assert err == f"erc: {out} exists: give --overwrite, or another --to\n"
        status, found = document(capsys, *flags, "--overwrite")
        assert (status, found["utterances"], found["ok"], found["weights"]) == (0, 70, 68, "random")

    @pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
    def test_manifest(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file_format: str) -> None:
        path = write_manifest(make_manifest(7), tmp_path / "manifest.parquet")
        flags = ["--modality", "text", "--feature", "surface", "--format", file_format, "--manifest", path]
        status, found = document(capsys, "export", store, "--to", tmp_path / "new" / "out", *flags)
        assert (status, found["utterances"], found["ok"]) == (0, 7, 5)

    def test_an_unknown_feature(self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flags = ["--modality", "text", "--feature", "surfaces", "--to", tmp_path / "out"]
        status, _, err = ask(capsys, "export", store, *flags)
        assert status == 1
        assert "did you mean 'surface'?" in err


def test_the_choices_are_those_of_the_store() -> None:
    from features.exports import request
    from features.spec import MODALITIES
    from features.store.export import FORMATS
    from pipeline.commands.store_export import command

    choices = {option.name: getattr(option.type, "choices", None) for option in command.params}
    assert choices["modality"] == MODALITIES
    assert choices["file_format"] == (*FORMATS, *request.FORMATS)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = ask(capsys, "verfy")
    assert status == 2
    assert "no command 'verfy': did you mean 'verify'?" in err


@pytest.mark.parametrize("name", ["ls", "verify", "gc", "export"])
def test_help_has_an_example_and_loads_nothing(name: str) -> None:
    code = (
        "from pipeline.cli import erc, run; import sys; "
        f"run(erc, ['store', {name!r}, '--help'], 'erc'); "
        "print([name for name in ('torch', 'polars', 'h5py', 'numpy', 'tqdm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"erc store {name} store" in done.stdout.partition("\n")[2]
    assert done.stdout.rstrip().endswith("[]")
