"""Exported runs and a hub that does not answer: one line in time, and the cache's copy where it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_servers import connections_from_here, drops, raw_server, silent
from hub_server import Hub, hub_serving, use_hub

from features.errors import UsageError, WeightsError
from pipeline.predict import hub


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.5")
    monkeypatch.setenv("HF_TOKEN", "hf_nobodys")


@pytest.mark.parametrize(
    ("behave", "told"), [(silent, "gave no answer within 0.5 s"), (drops, "ended the connection before")]
)
def test_a_push_ends_in_time_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behave: object, told: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    with raw_server(behave) as host:  # type: ignore[arg-type]
        use_hub(monkeypatch, f"http://{host}", tmp_path / "cache")
        tried = connections_from_here(monkeypatch)
        with pytest.raises(UsageError, match=f"{told}.*the folder .* is whole") as raised:
            hub.push_folder(tmp_path, "me/erc", private=False)
    assert len(tried) == 1
    assert "\n" not in str(raised.value)


def test_a_pull_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(silent) as host:
        use_hub(monkeypatch, f"http://{host}", tmp_path / "cache")
        tried = connections_from_here(monkeypatch)
        with pytest.raises(WeightsError, match=r"'me/erc' is neither .*gave no answer within 0\.5 s") as raised:
            hub.pull_folder("me/erc")
    assert len(tried) == 1
    assert "\n" not in str(raised.value)


def test_what_was_pulled_before_serves_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_serving(Hub({"me/erc": {"config.json": b"{}", "head.safetensors": b"w"}})) as there:
        use_hub(monkeypatch, there.url, tmp_path / "cache")
        folder = hub.pull_folder("me/erc")
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "head.safetensors"]
        there.silent_at = "/api/"
        assert hub.pull_folder("me/erc") == folder
