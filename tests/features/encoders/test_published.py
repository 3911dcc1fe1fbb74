"""State files that are published under an address: found where torch.hub has them, fetched with limits, checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from http_servers import Site, closed_port, raw_server, serving, silent

from features.encoders import published
from features.encoders.early_weights import _AS_PUBLISHED, _PUBLISHED, fetch_weights
from features.encoders.protocol import EncoderRequest
from features.encoders.published import checkpoints_folder, published_file
from features.errors import WeightsError

URL = "https://example.org/weights/net-0123abcd.pth"


def test_a_cached_file_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(published, "fetch_file", lambda *args, **kwargs: pytest.fail("downloads"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "net-0123abcd.pth").write_bytes(b"x")
    assert published_file(URL, "net", check_hash=True).read_bytes() == b"x"


def test_offline_the_file_its_place_and_the_ways_to_get_it_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://{closed_port()}/net-0123abcd.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = (
        r"^the weights of 'net', net-0123abcd\.pth, are not in .*checkpoints and cannot be downloaded"
        r" \(127\.0\.0\.1 refuses connections: .*\):"
        rf" fetch {url} into that folder, give --model FILE, or --weights random to test without them$"
    )
    with pytest.raises(WeightsError, match=message):
        published_file(url, "net", check_hash=True)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.2")
    with raw_server(silent) as host, pytest.raises(WeightsError, match=r"gave no answer within 0\.2 s.*give --model"):
        published_file(f"http://{host}/net-0123abcd.pth", "net", check_hash=True)


def test_a_download_with_another_hash_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with serving(Site({"/net-0123abcd.pth": b"not those weights"})) as site:
        url = f"{site.url}/net-0123abcd.pth"
        with pytest.raises(WeightsError, match=r"its sha256 is [0-9a-f]{8}, not 0123abcd"):
            published_file(url, "net", check_hash=True)
        assert not list((tmp_path / "home").rglob("*.pth"))
        assert published_file(url, "net", check_hash=False).read_bytes() == b"not those weights"


@pytest.mark.parametrize("variables", [{}, {"TORCH_HOME": "~/t"}, {"XDG_CACHE_HOME": "/x"}, {"TORCH_HOME": ""}])
def test_torch_hubs_folder_is_found_without_torch(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    expected = Path(torch.hub.get_dir()) / "checkpoints"
    assert checkpoints_folder() == expected
    monkeypatch.delitem(sys.modules, "torch")
    assert checkpoints_folder() == expected


def test_a_folder_that_a_program_gave_torch_hub_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    assert checkpoints_folder() == tmp_path / "checkpoints"


def test_the_early_address_is_torchvisions() -> None:
    from torchvision.models import get_model_weights

    known: Any = get_model_weights("resnet50")
    assert _PUBLISHED["resnet50"].url == known.DEFAULT.url
    assert _AS_PUBLISHED["resnet50"].url == known.IMAGENET1K_V1.url != known.DEFAULT.url


@pytest.mark.parametrize("encoder", ["resnet50", "retinaface-resnet50"])
def test_as_published_the_first_weights_are_fetched_early(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("features.encoders.early_weights.published_file", lambda url, *_, **__: fetched.append(url))
    for as_published in (False, True):
        fetch_weights(EncoderRequest(encoder, as_published=as_published))
    assert [url.rpartition("/")[2] for url in fetched if "resnet50-" in url] == [
        "resnet50-11ad3fa6.pth",
        "resnet50-0676ba61.pth",
    ]


def test_weights_are_looked_for_before_torch_is_loaded(tmp_path: Path) -> None:
    code = """
import sys
from features.encoders.early_weights import fetch_weights
from features.encoders.protocol import EncoderRequest
from features.errors import WeightsError
for encoder in ("gpt2", "resnet50", "wav2vec2", "video", "retinaface-resnet50"):
    try:
        fetch_weights(EncoderRequest(encoder))
    except WeightsError as error:
        print(encoder, "refuses" in str(error), sorted({"torch", "transformers", "torchvision"} & set(sys.modules)))
"""
    environment = {
        "HF_ENDPOINT": f"http://{closed_port()}",
        "HF_HOME": str(tmp_path),
        "TORCH_HOME": str(tmp_path),
        "https_proxy": f"http://{closed_port()}",
        "PYTHONPATH": ":".join(sys.path),
    }
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        f"{encoder} True []" for encoder in ("gpt2", "resnet50", "wav2vec2", "video", "retinaface-resnet50")
    ]


@pytest.mark.parametrize(
    "request_",
    [
        EncoderRequest("surface"),
        EncoderRequest("sentence"),
        EncoderRequest("resnet50", weights="random"),
        EncoderRequest("resnet50", model="packaged:mobilenet-v2"),
        EncoderRequest("resnet50", model="here/net.pth"),
        EncoderRequest("glove", model="here/vectors"),
    ],
)
def test_what_needs_no_network_asks_none(request_: EncoderRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.encoders.early_weights.find_model", lambda *_: pytest.fail("asks the hub"))
    monkeypatch.setattr("features.encoders.early_weights.published_file", lambda *_, **__: pytest.fail("downloads"))
    fetch_weights(request_)
