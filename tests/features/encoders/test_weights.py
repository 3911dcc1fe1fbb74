"""Where weights come from, and what is said where they do not."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bert import LAYERS, write_tiny_bert

from features.encoders.loading import load_model
from features.encoders.weights import find_model, packaged_folder
from features.errors import WeightsError
from features.extras import install_extra
from features.network import hub as network_hub


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("weights") / "bert")


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    """A copy of the model to damage."""
    return Path(shutil.copytree(bert, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def hub_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `hub_snapshot` asks before it downloads; tests/features/network asks a server."""
    monkeypatch.setattr(network_hub, "hub_files", lambda repo_id, patterns: network_hub.HubFiles("0" * 40, {}))


@pytest.fixture
def empty_hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, object]]:
    """No cache and no network; the calls that would have gone out."""
    calls: list[dict[str, object]] = []

    def snapshot(repo_id: str, **options: object) -> str:
        if not options.get("local_files_only"):
            calls.append({"repo_id": repo_id, **options})
        reached = ConnectionError("Name or service not known")
        raise huggingface_hub.errors.LocalEntryNotFoundError("cannot find the files\nand more") from reached

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return calls


def test_a_packaged_model_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = f"'all-MiniLM-L6-v2' is not installed: {re.escape(install_extra('embedded'))}, or give --model"
    with pytest.raises(WeightsError, match=message):
        find_model("packaged:all-MiniLM-L6-v2")


def test_an_unknown_packaged_model_names_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"no packaged model 'all-MiniLM-L6': did you mean 'all-MiniLM-L6-v2'\?"):
        packaged_folder("all-MiniLM-L6")


def test_a_local_folder_is_used_as_it_is(bert: Path) -> None:
    assert find_model(str(bert)) == bert


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("config.json", r"no config\.json in .*copy"),
        ("model.safetensors", r"no model\.safetensors in .*copy: .* --weights random"),
    ],
)
def test_a_folder_that_lacks_a_file_names_it(copy: Path, remove: str, message: str) -> None:
    (copy / remove).unlink()
    with pytest.raises(WeightsError, match=message):
        find_model(str(copy))


def test_random_weights_need_no_weights_file(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert find_model(str(copy), "random") == copy


def test_an_older_model_is_the_same_weights(copy: Path) -> None:
    """Many models on the hub have a pytorch_model.bin alone."""
    digest = load_model(find_model(str(copy)))[1]
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert load_model(find_model(str(copy)))[1] == digest


class Hostile:
    """What unpickles to a call: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_a_checkpoint_never_runs_code(copy: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save(load_file(copy / "model.safetensors") | {"hostile": Hostile(trace)}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_model(find_model(str(copy)))
    assert not trace.exists()


def test_a_sharded_checkpoint_must_be_whole(bert: Path, tmp_path: Path) -> None:
    whole = write_tiny_bert(tmp_path / "sharded", max_shard_size="20KB")
    index = whole / "model.safetensors.index.json"
    assert load_model(find_model(str(whole)))[1] == load_model(bert)[1]
    shard = sorted(set(json.loads(index.read_text())["weight_map"].values()))[-1]
    (whole / shard).unlink()
    with pytest.raises(WeightsError, match=f"no {shard} in .* which model.safetensors.index.json names"):
        find_model(str(whole))
    index.write_text("{")
    with pytest.raises(WeightsError, match=r"index\.json is damaged: download the model again"):
        find_model(str(whole))


def test_a_path_that_is_no_folder_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is not there: give the folder that holds config\.json"):
        find_model(str(tmp_path / "none"))
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="is a file: give the folder"):
        find_model(str(tmp_path / "file"))


def test_a_hub_model_without_network_names_the_ways(empty_hub_cache: list[dict[str, object]]) -> None:
    message = (
        r"model 'org/model' is neither a folder here nor in the hub's cache, and the hub cannot be reached "
        r"\(ConnectionError: Name or service not known\): .* --model FOLDER, or use the encoders of --preset embedded"
    )
    with pytest.raises(WeightsError, match=message) as raised:
        find_model("org/model")
    assert "\n" not in str(raised.value)
    (call,) = empty_hub_cache
    assert call["etag_timeout"] == 10.0
    assert not any(name.endswith(".bin") or name == "*" for name in call["allow_patterns"])  # type: ignore[attr-defined]


def test_offline_mode_does_not_try_the_network(
    empty_hub_cache: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=r"'org/model' is not in the hub's cache, and HF_HUB_OFFLINE is set: .*FOLDER"
    ):
        find_model("org/model")
    assert empty_hub_cache == []


def test_a_cached_hub_model_is_used_without_asking_the_hub(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def snapshot(repo_id: str, **options: object) -> str:
        asked.append(options.get("local_files_only"))
        return str(bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_model("org/model") == bert
    assert asked == [True]


def test_a_half_cached_hub_model_is_fetched(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "model.safetensors").unlink()
    asked: list[tuple[bool, bool]] = []  # whether only the cache was looked at, whether for older weights files too

    def snapshot(repo_id: str, *, allow_patterns: list[str], **options: object) -> str:
        asked.append((bool(options.get("local_files_only")), "pytorch_model.bin" in allow_patterns))
        return str(copy)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(WeightsError, match=r"no model\.safetensors in"):
        find_model("org/model")
    assert asked == [(True, True), (False, False), (False, True)]


def test_loading_prints_nothing_and_trains_nothing(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, _ = load_model(bert)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert len(model.encoder.layer) == LAYERS


def test_the_same_weights_have_the_same_digest_with_or_without_a_pooler(bert: Path, copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, copy / "model.safetensors", {"format": "pt"})
    assert any("pooler" in name for name in weights)
    assert load_model(copy)[1] == load_model(bert)[1]
    assert load_model(write_tiny_bert(copy, seed=2))[1] != load_model(bert)[1]


def test_a_checkpoint_that_lacks_a_layer_is_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name}
    save_file(kept, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 16 of the weights that BertModel needs \(encoder\.layer\.1\."):
        load_model(copy)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_weights_file_is_one_line(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"cannot be loaded|lacks \d+ of the weights") as raised:
        load_model(copy)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_of_other_sizes_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_model(copy)


def test_code_that_comes_with_a_model_is_not_run(copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (copy / "modeling_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nclass Own: pass\nclass OwnConfig: pass\n"
    )
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.Own"}
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": auto_map}))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_model(copy)
    assert not marker.exists()


def test_random_weights_are_seeded_and_leave_the_global_generator_alone(bert: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _, first = load_model(bert, "random")
    assert torch.equal(torch.rand(3), expected)
    _, second = load_model(bert, "random")
    assert first == second != load_model(bert)[1]
