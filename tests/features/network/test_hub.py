"""The hub: what it has is announced and fetched; where it falls silent, drops or refuses, one line says so in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from http_servers import closed_port, connections_from_here, drops, raw_server, refuses, silent, trickles
from hub_server import Hub, hub_serving, use_hub
from huggingface_hub import get_session

from features.encoders.weights import find_model
from features.errors import WeightsError
from features.network.hub import hub_session

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": b"w" * 50_000,
    "flax_model.msgpack": b"f" * 9,
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.5")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_serving(Hub({"org/net": FILES})) as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


@pytest.fixture
def tried_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library would try six times, with pauses of up to eight seconds."""
    tried = connections_from_here(monkeypatch)
    yield
    assert len(tried) == 1


def failure(model: str = "org/net") -> str:
    with pytest.raises(WeightsError) as raised:
        find_model(model)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_wanted_of_a_model_is_announced_and_fetched(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = find_model("org/net")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: body for name, body in FILES.items() if "flax" not in name
    }
    assert capsys.readouterr().err.splitlines()[0] == f"erc: downloading org/net (50.0 kB) to {tmp_path / 'cache'}"


def test_a_model_that_is_here_is_not_asked_for_again(hub: Hub) -> None:
    folder = find_model("org/net")
    hub.asked.clear()
    assert find_model("org/net") == folder
    assert hub.asked == []


@pytest.mark.parametrize("question", ["/api/models/org/net?", "/api/models/org/net/tree", "/resolve/"])
def test_a_hub_that_falls_silent_at_any_question_is_given_up(hub: Hub, question: str) -> None:
    """The library waits for ever for the first two, and asks six times with pauses."""
    hub.silent_at = question
    message = failure()
    assert len(hub.asked) == len(set(hub.asked)), "something was asked for twice"
    assert "127.0.0.1 gave no answer within 0.5 s: try again later (ERC_NETWORK_TIMEOUT=30 waits longer)" in message
    assert "give --model FOLDER" in message
    hub.silent_at = None
    assert find_model("org/net").is_dir()


@pytest.mark.usefixtures("tried_once")
def test_a_model_that_is_not_there_is_told_as_before(hub: Hub) -> None:
    assert "'org/none' is neither a folder here nor on the hub: check the name" in failure("org/none")


@pytest.mark.usefixtures("tried_once")
@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (silent, "127.0.0.1 gave no answer within 0.5 s"),
        (trickles, "127.0.0.1 gave no answer within 0.5 s"),
        (drops, "127.0.0.1 ended the connection before its answer was whole: try again"),
    ],
)
def test_a_server_that_is_no_good_is_told_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behave: object, told: str
) -> None:
    with raw_server(behave) as host:  # type: ignore[arg-type]
        use_hub(monkeypatch, f"http://{host}", tmp_path)
        assert f"({told}" in failure()


@pytest.mark.usefixtures("tried_once")
def test_a_closed_port_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, f"http://{closed_port()}", tmp_path)
    assert "(127.0.0.1 refuses connections: check the network and HTTPS_PROXY)" in failure()


@pytest.mark.usefixtures("tried_once")
def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://hub.invalid", tmp_path)
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "2")
    message = failure()
    assert "hub.invalid cannot be looked up: check the network" in message or "hub.invalid gave no answer" in message


@pytest.mark.usefixtures("tried_once")
def test_a_proxy_that_refuses_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with raw_server(refuses) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        use_hub(monkeypatch, "https://hub.example", tmp_path)
        message = failure()
    assert (
        f"(the proxy {proxy} does not let hub.example through (ProxyError: 403 Forbidden): see HTTPS_PROXY)" in message
    )
    assert "secret" not in message


@pytest.mark.usefixtures("tried_once")
def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    proxy = closed_port()
    monkeypatch.setenv("https_proxy", f"http://{proxy}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    use_hub(monkeypatch, "https://hub.example", tmp_path)
    assert f"refuses connections (through the proxy {proxy})" in failure()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_limit_that_is_no_number_of_seconds_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    from features.errors import UsageError
    from features.network.waiting import first_byte_limit

    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", value)
    with pytest.raises(UsageError, match=rf"ERC_NETWORK_TIMEOUT='{value}' is no number of seconds above 0"):
        first_byte_limit()


def test_the_hubs_own_variable_counts_where_ours_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from features.network.waiting import first_byte_limit

    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "7")
    assert first_byte_limit() == 0.5
    monkeypatch.delenv("ERC_NETWORK_TIMEOUT")
    assert first_byte_limit() == 7
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT")
    assert first_byte_limit() == 4


def test_a_programs_own_client_of_the_hub_is_as_it_was_afterwards() -> None:
    before = get_session()
    with hub_session():
        assert "send" in vars(get_session())
    after = get_session()
    assert "send" not in vars(after)
    assert type(after) is type(before)
