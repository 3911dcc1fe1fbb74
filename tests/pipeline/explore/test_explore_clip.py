"""`erc explore clip`: the page shows the encoders' very inputs, says what is missing, and lets nothing out or in."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from clip_factory import number_of
from explore_clip_factory import CLIP_ID, make_corpus, page_of, row_of, run, sound_of
from page_checks import findings_of, paths_in
from tiny_gpt2 import report_prompt, write_tiny_gpt2

from features.cards import DatasetCard
from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.errors import ManifestError, UsageError
from features.manifest import read_manifest, write_manifest
from features.media.clip import Clip, decode_clip

HOSTILE = "<script>alert(1)</script> \"quoted\" & 'so' \U0001f600"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach another machine fails, and is noted."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tried


def decoded(corpus: Path, encoder: Any) -> Clip:
    manifest = read_manifest(corpus)
    utterance = manifest.utterances()[manifest.positions[CLIP_ID]]
    return decode_clip(manifest.media_path(utterance.media or ""), utterance, [encoder.needs])


def test_the_pixels_are_what_the_network_gets(corpus: Path) -> None:
    import torch

    encoder: Any = create(EncoderRequest("resnet50", weights="random"))
    clip = decoded(corpus, encoder)
    fed: list[torch.Tensor] = []
    encoder._encode._network.register_forward_pre_hook(lambda module, inputs: fed.append(inputs[0]))
    encoder.encode([encoder.prepare(clip)])
    (network_input,) = fed  # [5, 3, 224, 224]

    block = page_of(corpus, "--encoder", "resnet50").blocks["resnet50"]
    pixels = np.stack(row_of(block, "The network's input")).astype(np.float32)
    assert pixels.shape == (5, 224, 224, 3)
    mean, std = (np.array(encoder.spec.settings[key], np.float32) for key in ("mean", "std"))
    normalised = ((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(normalised, network_input.numpy(), atol=1e-5)

    frames = clip.frames(encoder.needs.frames)
    assert block.facts["at seconds"].partition(" of ")[0] == ", ".join(f"{time:.2f}" for time in frames.times_s)
    share = f"{224 * 224 / (309 * 232):.0%}"  # of 320 x 240, whose shorter side becomes 232
    assert block.facts["in the input"] == f"{share} of every frame"
    thumbnails = row_of(block, "Sampled frames", "jpeg")
    for number, time_s in enumerate(frames.times_s):
        assert block.captions[number] == f"frame {number + 1}, {time_s:.2f} s{share} of it is in the input"
        assert number_of(thumbnails[number]) == round(10 * time_s)  # each frame of the clip shows its own number


def test_the_page_is_accessible_and_names_no_folder_of_its_maker(
    corpus: Path, tiny_gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--encoder", "gpt2", "--model", str(tiny_gpt2)]
    typed = [
        "erc",
        "explore",
        "clip",
        CLIP_ID,
        "--manifest",
        str(corpus),
        f"--store={corpus.parent / 'st ore'}",
        *given,
    ]
    monkeypatch.setattr(sys, "argv", typed)
    store = corpus.parent / "st ore"
    store.mkdir(exist_ok=True)
    for flags in (given, ["--encoder", "logmel", "--encoder", "hog-colour", "--store", str(store)]):
        html = page_of(corpus, *flags).html
        assert findings_of(html) == []
        assert paths_in(html, corpus.parent, tiny_gpt2) == []
    assert "Store: st ore." in html
    assert f"--manifest {corpus.name} " in html
    assert tiny_gpt2.name in html


def test_as_published_resnet50_sees_less_than_two_frames(corpus: Path) -> None:
    block = page_of(corpus, "--encoder", "resnet50", "--as-published").blocks["resnet50"]
    assert block.facts["in the input"] == "1.8 of 5 frames"
    assert [overlay.rpartition(" ")[2] for overlay in block.overlays] == ["region", "gone", "gone", "gone"]
    (picture,) = row_of(block, "The network's input")
    assert picture.shape == (256, 721, 3)
    assert not picture[:, 256:].any()
    assert "1.8 of 5 frames arrive, 64.5% of the input is black" in block.text


def test_the_sound_is_the_encoders(corpus: Path) -> None:
    page = page_of(corpus, "--encoder", "waveform", "--encoder", "logmel", "--encoder", "wav2vec2")
    encoder: Any = create(EncoderRequest("waveform"))
    samples = encoder.prepare(decoded(corpus, encoder)).value
    rate_hz, played = sound_of(page.blocks["waveform"])
    assert rate_hz == 8000
    np.testing.assert_array_equal(played, np.rint(samples.astype(np.float64) * 32767).astype(np.int16))
    assert page.blocks["waveform"].facts["samples"] == f"{len(samples):,} at 8,000 Hz"
    assert sound_of(page.blocks["logmel"])[0] == 16000
    assert page.blocks["wav2vec2"].sounds == []  # the same samples again
    assert "The same samples as logmel" in page.blocks["wav2vec2"].text
    assert "mean 0 and variance 1" in page.blocks["wav2vec2"].text
    assert page.html.count("<audio") == 2


def test_published_sound_plays_at_the_rate_that_the_network_takes_it_for(corpus: Path) -> None:
    page = page_of(corpus, "--encoder", "wav2vec2", "--encoder", "waveform", "--as-published")
    assert sound_of(page.blocks["wav2vec2"])[0] == 16000
    assert sound_of(page.blocks["waveform"])[0] == 88200
    assert "5.5 times too slow" in page.blocks["wav2vec2"].text
    encoder: Any = create(EncoderRequest("waveform", as_published=True))
    made = encoder.prepare(decoded(corpus, encoder))
    zeros = len(made.value) - made.counts[0]["num_samples"]
    assert zeros > 0
    assert page.blocks["waveform"].facts["padding"].startswith(f"{zeros:,} zeros")


def test_sound_that_is_cut_is_said_to_be(corpus: Path) -> None:
    block = page_of(corpus, "--encoder", "logmel", "--set", "max_seconds=0.5").blocks["logmel"]
    assert sound_of(block)[1].shape == (8000,)
    assert block.facts["cut"] == "yes: the rest is not heard"
    assert block.facts["seconds"].startswith("0.500 as the encoder hears it, 2.0")


def prompt_ids(corpus: Path, folder: Path, turn: int) -> tuple[Any, list[int]]:
    from transformers import AutoTokenizer

    dialogue = next(read_manifest(corpus).dialogues())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer, tokenizer(report_prompt(dialogue.utterances[: turn + 1])).input_ids


def test_the_prompt_is_the_tokenizers(corpus: Path, tiny_gpt2: Path) -> None:
    tokenizer, ids = prompt_ids(corpus, tiny_gpt2, 1)
    block = page_of(corpus, "--encoder", "gpt2", "--model", str(tiny_gpt2)).blocks["gpt2"]
    assert block.facts["tokens"] == f"{len(ids)} of a window of 256"
    assert block.facts["left out"] == "none"
    assert "".join(block.kept()).replace("\u21b5", "") == tokenizer.decode(ids)
    assert len(block.tokens) == len(ids)
    assert ["read" in classes for classes, _ in block.tokens] == [False] * (len(ids) - 1) + [True]


@pytest.mark.parametrize("room", [20, 60])
def test_what_is_cut_of_the_prompt_is_marked(corpus: Path, tiny_gpt2: Path, room: int) -> None:
    tokenizer, ids = prompt_ids(corpus, tiny_gpt2, 1)
    flags = ["--encoder", "gpt2", "--model", str(tiny_gpt2), "--set", f"max_tokens={room}"]
    block = page_of(corpus, *flags).blocks["gpt2"]
    assert block.facts["left out"] == str(len(ids) - room)
    assert "".join(block.kept()).replace("\u21b5", "") == tokenizer.decode(ids[-room:])
    shown = min(60, len(ids) - room)  # of those that are cut, the nearest
    assert "".join(block.cut()).replace("\u21b5", "") == tokenizer.decode(ids[:-room][-shown:])
    assert all("cut" in classes for classes, _ in block.tokens[:shown])
    assert (f"{len(ids) - room - shown} more tokens were cut" in block.text) == (len(ids) - room > shown)


def test_as_published_the_prompt_loses_its_end(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    model = write_tiny_gpt2(tmp_path / "gpt2", positions=50)
    tokenizer, ids = prompt_ids(corpus, model, 1)
    block = page_of(corpus, "--encoder", "gpt2", "--model", str(model), "--as-published").blocks["gpt2"]
    assert "".join(block.kept()).replace("\u21b5", "") == tokenizer.decode(ids[:50])
    assert all("cut" in classes for classes, _ in block.tokens[50:])
    assert "what this utterance says is lost" in block.text


def test_all_of_a_hostile_corpus_is_text(tmp_path: Path, tiny_gpt2: Path) -> None:
    card = DatasetCard("toy", title=f"{HOSTILE} title", known_bad={CLIP_ID: f"{HOSTILE} bad"})
    columns = {"speaker": f"{HOSTILE} speaker", "note": f"{HOSTILE} note", "label": f"{HOSTILE} label"}
    corpus = make_corpus(tmp_path, (HOSTILE, HOSTILE), card, **columns)
    page = page_of(corpus, "--encoder", "gpt2", "--model", str(tiny_gpt2))
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "link", "form"} == set()
    for place in ("title", "bad", "speaker", "note", "label"):
        assert f"{HOSTILE} {place}" in page.text
    (policy,) = [values["content"] for tag, values in page.tags if tag == "meta" and "http-equiv" in values]
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", "style-src 'unsafe-inline'"]
    assert "script-src" not in policy


def test_nothing_of_the_page_is_elsewhere(corpus: Path) -> None:
    page = page_of(corpus, "--preset", "embedded")
    for tag, values in page.tags:
        for name in {"src", "href", "action"} & values.keys():
            assert str(values[name]).startswith(("data:", "#")), (tag, values)
    assert "url(" not in page.html
    assert len(page.html.encode()) < 5_000_000


def test_without_a_network_what_can_be_shown_is(corpus: Path, no_network: list[Any]) -> None:
    page = page_of(corpus)  # the preset `report`: none of its weights are here, and only GPT-2's tokenizer is needed
    assert "Not shown: model 'openai-community/gpt2' is not in the hub's cache" in page.blocks["gpt2"].text
    assert len(row_of(page.blocks["resnet50"], "The network's input")) == 5
    assert page.blocks["wav2vec2"].facts["samples"].endswith("at 16,000 Hz")
    assert no_network == []


def test_the_table_and_the_json_say_what_each_encoder_got(corpus: Path) -> None:
    done = run(corpus, "--encoder", "surface", "--encoder", "logmel", "--json", utterance_id="toy/train/dia0_utt0")
    document = json.loads(done.stdout)
    assert Path(document["page"]).is_file()
    assert [(item["encoder"], item["status"], item["reason"]) for item in document["encoders"]] == [
        ("surface", "ok", None),
        ("logmel", "missing", "no-media"),
    ]


def test_a_text_only_manifest_shows_the_text(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, media=None)
    manifest = read_manifest(corpus)
    write_manifest(replace(manifest, media_root=None), corpus)
    page = page_of(corpus, "--preset", "embedded")
    assert page.blocks["sentence"].facts["left out"] == "none"
    for name in ("logmel", "mobilenet"):
        assert "No embedding: no-media: the manifest names no clip" in page.blocks[name].text
    assert page.html.count("<img") == page.html.count("<audio") == 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"this is no media file" * 50), "failed: undecodable"),
        (lambda path: path.unlink(), "missing: no-file"),
    ],
)
def test_a_clip_that_cannot_be_used_says_so(tmp_path: Path, damage: Any, reason: str) -> None:
    corpus = make_corpus(tmp_path)
    damage(tmp_path / "media" / "clip.mp4")
    page = page_of(corpus, "--encoder", "surface", "--encoder", "logmel", "--encoder", "hog-colour")
    assert page.blocks["logmel"].text.startswith(f"logmel{reason}")
    assert page.blocks["hog-colour"].text.startswith(f"hog-colour{reason}")
    assert page.blocks["surface"].text.startswith("surfaceok")


def test_a_link_out_of_the_media_root_is_not_followed(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    (tmp_path / "media" / "clip.mp4").rename(tmp_path / "outside.mp4")
    (tmp_path / "media" / "clip.mp4").symlink_to(tmp_path / "outside.mp4")
    assert "failed: outside-root" in page_of(corpus, "--encoder", "logmel").blocks["logmel"].text
    assert page_of(corpus, "--encoder", "logmel", "--follow-symlinks").blocks["logmel"].sounds


def test_a_known_bad_clip_is_shown_as_such(tmp_path: Path) -> None:
    card = DatasetCard("toy", labels=("neutral",), known_bad={CLIP_ID: "five minutes of another scene"})
    page = page_of(make_corpus(tmp_path, card=card), "--encoder", "hog-colour")
    assert "Known-bad clip. five minutes of another scene" in page.text
    assert len(row_of(page.blocks["hog-colour"], "Colours are taken")) == 5


def test_hog_colours_pictures_are_its_own(corpus: Path) -> None:
    from features.encoders.visual.hog_colour import hog_colour_statistics, middle_square

    encoder: Any = create(EncoderRequest("hog-colour"))
    clip = decoded(corpus, encoder)
    frames = clip.frames(encoder.needs.frames).pixels
    block = page_of(corpus, "--encoder", "hog-colour").blocks["hog-colour"]
    for shown, frame in zip(row_of(block, "Edges and motion"), frames, strict=True):
        np.testing.assert_array_equal(shown, middle_square(frame))
    (thumbnails,) = [uris for title, uris in block.rows.items() if title.startswith("Sampled frames")]
    assert len(thumbnails) == 5
    np.testing.assert_array_equal(encoder.prepare(clip).value, hog_colour_statistics(frames))


def extract(corpus: Path, *flags: str) -> Path:
    from pipeline.commands.extract import command

    store = corpus.parent / "store"
    done = CliRunner().invoke(
        command, ["--manifest", str(corpus), "--store", str(store), "--workers", "0", "--device", "cpu", *flags]
    )
    assert done.exit_code in (0, 3), (done.output, done.exception)
    return store


def test_the_stores_features_are_the_default_and_tell_their_ledger(tmp_path: Path, tiny_gpt2: Path) -> None:
    corpus = make_corpus(tmp_path)
    extract(corpus, "--encoder", "gpt2", "--model", str(tiny_gpt2), "--set", "max_tokens=40", "--as", "short")
    store = extract(corpus, "--encoder", "waveform", "--set", "max_seconds=0.5")
    page = page_of(corpus, "--store", str(store))
    short, waveform = (
        next(block for name, block in page.blocks.items() if name.startswith(f"{each}@"))
        for each in ("short", "waveform")
    )
    assert len(page.blocks) == 2
    assert len(short.kept()) == 40  # with the settings that it was made with
    assert short.facts["stored"] == "ok (cut 1, num_tokens 40) · from the same input as is shown here"
    assert sound_of(waveform)[1].shape == (4000,)
    assert "from the same clip as is shown here" in waveform.facts["stored"]
    assert "differs" not in short.facts

    other = page_of(corpus, "--store", str(store), utterance_id="toy/train/dia0_utt0")
    (waveform,) = [block for name, block in other.blocks.items() if name.startswith("waveform")]
    assert waveform.facts["stored"] == "missing: no-media: the manifest names no clip"


def test_two_aliases_of_one_fingerprint_each_tell_their_own_ledger(tmp_path: Path) -> None:
    from store_factory import make_manifest, make_spec

    from features.errors import Reason, UnavailableError
    from features.store import Store, write_feature
    from pipeline.explore.clip_wanted import wanted_of_store

    manifest = make_manifest(2)
    name, rows = manifest.ids[0], {known: np.zeros(3, np.float32) for known in manifest.ids}
    write_feature(tmp_path, make_spec(alias="one"), manifest, rows)
    write_feature(tmp_path, make_spec(alias="two"), manifest, rows, {name: UnavailableError(Reason.NO_TEXT)})
    write_feature(tmp_path, make_spec(alias="zoom", derives_from=make_spec().fingerprint), manifest, rows)
    one, two, zoom = wanted_of_store(Store(tmp_path).features(), manifest, name)
    shown = [(item.name, item.stored.feature.name, item.stored.status) for item in (one, two, zoom) if item.stored]
    assert shown == [("one", "one", "ok"), ("two", "two", "missing"), ("zoom", "zoom", "ok")]
    assert zoom.source == one.stored
    assert one.source is two.source is None


def test_a_row_made_from_other_input_is_stale(tmp_path: Path, tiny_gpt2: Path) -> None:
    corpus = make_corpus(tmp_path)
    store = extract(corpus, "--encoder", "gpt2", "--model", str(tiny_gpt2))
    make_corpus(tmp_path, ("Hello there, you three.", "We should go now, really!"))
    (block,) = page_of(corpus, "--store", str(store)).blocks.values()
    assert "stale the manifest or the clip has changed since" in block.facts["stored"]
    assert "differs it was made from another input than is shown here" in block.facts["stored"]


def test_flags_show_another_setting_than_the_stores(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    store = extract(corpus, "--encoder", "waveform")
    page = page_of(corpus, "--store", str(store), "--encoder", "waveform", "--set", "max_seconds=0.25")
    assert sound_of(page.blocks["waveform"])[1].shape == (2000,)


@pytest.mark.slow
def test_faces_come_from_the_store_and_what_is_cut_out_of_them_is_shown(tmp_path: Path) -> None:
    from features.encoders.visual.face_boxes import unpack
    from features.store import Store

    corpus = make_corpus(tmp_path)
    flags = ["--weights", "random", "--encoder", "retinaface-resnet50", "--set", "mode=crop", "--set", "confidence=0.4"]
    store = extract(corpus, *flags)
    page = page_of(corpus, "--store", str(store))
    faces, derived = (
        next(block for name, block in page.blocks.items() if name.startswith(each)) for each in ("faces@", "retinaface")
    )
    feature = next(item for item in Store(store).features() if item.name == "faces")
    found = unpack(feature.read_sequences([CLIP_ID])[0])
    boxes = [overlay for overlay in faces.overlays if overlay.startswith("The network's input")]
    assert len(boxes) == len(found) > 0
    assert faces.facts["found by"] == f"the store, {feature.folder}"
    assert "The faces were found by a detector with random weights" in page.text
    counted = int((found.scores >= 0.4).sum())
    assert derived.facts["faces"].startswith(f"{counted} face")
    assert len(row_of(derived, "The network's input")) == min(counted, 40)
    assert f"num_faces {counted}" in derived.facts["stored"]
    assert "from the same clip as is shown here" in derived.facts["stored"]


def test_faces_without_a_detector_are_said_to_be_missing(
    corpus: Path, no_network: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    page = page_of(corpus, "--encoder", "faces", "--encoder", "retinaface-resnet50")
    faces, derived = page.blocks["faces"], page.blocks["retinaface-resnet50"]
    assert "Faces are not shown: the weights of 'retinaface'" in faces.text
    assert len(row_of(faces, "The network's input")) == 5
    assert derived.text.startswith("retinaface-resnet50not tried")
    assert len(row_of(derived, "Faces are looked for in these")) == 5
    assert not [title for title in derived.rows if title.startswith("The network's input")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--encoder", "resnet"), "did you mean 'resnet50'"),
        (("--encoder", "logmel", "--set", "max_second=1"), "did you mean 'max_seconds'"),
        (("--encoder", "logmel", "--set", "max_seconds"), "is not KEY=VALUE"),
        (("--encoder", "surface", "--encoder", "logmel", "--set", "max_seconds=1"), "for one encoder"),
        (("--encoder", "logmel", "--model", "x"), "has no weights"),
        (("--encoder", "logmel", "--preset", "report"), "give one of them"),
        (("--encoder", "logmel", "--as-published"), "the report has no encoder 'logmel'"),
    ],
)
def test_wrong_usage_is_an_error(corpus: Path, flags: tuple[str, ...], message: str) -> None:
    done = run(corpus, *flags)
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("toy/train/dia0_ut1", "toy/train/dia0_utt1"), ("dia0_utt2", "toy/train/dia0_utt2")],
)
def test_an_unknown_id_names_the_nearest(corpus: Path, given: str, nearest: str) -> None:
    done = run(corpus, utterance_id=given)
    assert isinstance(done.exception, UsageError)
    assert f"did you mean {nearest!r}?" in str(done.exception)


def test_clips_without_a_media_root_need_one(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    write_manifest(replace(read_manifest(corpus), media_root=None), corpus)
    done = run(corpus, "--encoder", "logmel")
    assert isinstance(done.exception, ManifestError)
    assert "give --media-root DIR" in str(done.exception)
    assert page_of(corpus, "--encoder", "logmel", "--media-root", str(tmp_path / "media")).blocks["logmel"].sounds


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from pipeline.commands.explore_clip import command;"
        " result = CliRunner().invoke(command, ['--help']); assert result.exit_code == 0, result.output;"
        " heavy = {'torch', 'transformers', 'cv2', 'librosa', 'av', 'matplotlib', 'PIL'} & set(sys.modules);"
        " sys.exit(str(heavy) if heavy else 0)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
