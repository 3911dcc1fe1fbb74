"""The reader encoder-top: it is the encoder's own upper part, forwards and backwards, whatever shares its batch."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from part_factory import assert_gradients
from top_factory import ARCHITECTURES, LAYERS, WIDTH, Small, elements, reader_of, small
from torch import Tensor

from features.errors import ConfigError
from features.top.network import call
from heads.data.sequences import Sequences
from heads.readers.by_length import cheapest_cuts, groups_of
from heads.readers.encoder_top import EncoderTop

every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)
every_pooling = pytest.mark.parametrize("pooling", ["mean", "max", "mean+max", "first", "last"])
# Of each architecture, the sizes of an utterance's windows, and how many utterances one window is cut into.
SIZES = dict.fromkeys(("wav2vec2", "conformer"), ((7, 4), (9, 5), (3,)))
TEXTS = ((9,), (4,), (12,), (5,), (4,))


def joined(parts: list[Tensor]) -> Sequences:
    return Sequences(torch.cat(parts), torch.tensor([0, *map(len, parts)]).cumsum(0))


def flagged(states: Tensor, pooled: Tensor) -> Tensor:
    """One window: [t, w + 2]."""
    begins = torch.zeros(len(states), 1)
    begins[0] = 1
    return torch.cat([states, pooled.float().unsqueeze(1), begins], dim=1)


def pooled_of(last: Tensor, own: Tensor, first: Tensor, pooling: str) -> Tensor:
    rows = last[own]
    each = {"mean": rows.mean(0), "max": rows.amax(0), "first": first, "last": rows[-1]}
    return torch.cat([each[how] for how in pooling.split("+")])


def whole_and_cut(model: Small, sizes: tuple[tuple[int, ...], ...], pooling: str) -> tuple[Tensor, Sequences]:
    """(what the whole network gives each utterance, the states that are stored of it). The first element of a text is
    special, and the last."""
    expected, stored = [], []
    is_text = model.entrance == "tokens"
    for place, windows in enumerate(sizes):
        runs = [model.states(model.inputs(size, 10 * place + number)) for number, size in enumerate(windows)]
        owns = [torch.tensor([not is_text or 0 < t < size - 1 for t in range(size)]) for size in windows]
        last = torch.cat([run[1] for run in runs])
        expected.append(pooled_of(last, torch.cat(owns), last[0], pooling))
        stored.append(torch.cat([flagged(run[0], own) for run, own in zip(runs, owns, strict=True)]))
    return torch.stack(expected), joined(stored)


@every_architecture
@every_pooling
@pytest.mark.parametrize("from_top", [1, 2, LAYERS])
def test_untrained_it_is_the_whole_model(name: str, pooling: str, from_top: int) -> None:
    model = small(name, from_top)
    expected, stored = whole_and_cut(model, SIZES.get(name, TEXTS), pooling)
    reader = reader_of(model, pooling=pooling)
    found = reader(stored)
    assert found.dtype == torch.float32
    assert found.shape == (len(stored), reader.width)
    assert torch.allclose(found, expected, atol=1e-5)
    assert expected.std() > 0.1
    halved = Sequences(stored.values.half(), stored.offsets)
    error = (reader(halved) - expected).norm() / expected.norm()
    assert 1e-6 < error < 2e-3  # what float16 rounds away below


def test_windows_that_were_one_would_be_seen() -> None:
    """The mutant of the test above: two windows of an utterance whose second one does not begin."""
    model = small("wav2vec2")
    expected, stored = whole_and_cut(model, ((7, 4),), "mean")
    stored.values[7, -1] = 0
    assert (reader_of(model)(stored) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_window_goes_on_over_the_turns_of_a_dialogue(pooling: str) -> None:
    """Two dialogues of GPT-2, one pass each; every turn holds what is new in it, and one has nothing."""
    model = small("gpt2")
    expected, stored = [], []
    for seed, turns in enumerate(((4, 3, 6), (5, 2))):
        states, last = model.states(model.inputs(sum(turns), seed))
        whole = flagged(states, torch.ones(sum(turns)))
        stored += list(whole.split(turns))
        expected += [pooled_of(part, torch.ones(len(part)).bool(), part[0], pooling) for part in last.split(turns)]
    stored.insert(2, stored[0][:0])
    expected.insert(2, torch.zeros(WIDTH))
    reader = reader_of(model, "dialogue", pooling=pooling, over="dialogue")
    assert torch.allclose(reader(joined(stored)), torch.stack(expected), atol=1e-5)
    stored[1][0, -1] = 1  # a window of its own
    assert (reader(joined(stored))[1] - expected[1]).abs().max() > 1e-2


@every_architecture
def test_one_step_is_that_of_the_whole_model_with_its_lower_layers_frozen(name: str) -> None:
    model = small(name)
    sizes = SIZES.get(name, TEXTS)
    reader = reader_of(model, dropout=0.0).train()
    _, stored = whole_and_cut(model, sizes, "mean")
    weights = torch.randn(len(sizes), WIDTH, generator=torch.Generator().manual_seed(3))
    (reader(stored) * weights).sum().backward()
    network = copy.deepcopy(model.network)  # in evaluation mode: without dropout
    total = torch.zeros(())
    for place, windows in enumerate(sizes):
        rows = []
        for number, size in enumerate(windows):
            last = call(network, model.entrance, model.inputs(size, 10 * place + number), None)[0]
            rows.append(last[1:-1] if model.entrance == "tokens" else last)
        total = total + (torch.cat(rows).mean(0) * weights[place]).sum()
    total.backward()
    whole = dict(network.named_parameters())
    found = dict(reader.layers.network.named_parameters())
    assert len(found) > 20
    description = model.top.description
    lower = [f"{description.layers}.{place}." for place in range(description.first)]
    for key, parameter in found.items():
        assert parameter.grad is not None
        if key.startswith(f"{description.layers}."):
            assert torch.allclose(parameter.grad, whole[key].grad, atol=1e-4), key
            assert not key.startswith(tuple(lower))


@every_architecture
@every_pooling
def test_a_vector_depends_neither_on_batch_mates_nor_on_padding(name: str, pooling: str) -> None:
    reader = reader_of(small(name), pooling=pooling)
    values = elements((5, 0, 1, 9, 3, 0, 7, 2, 30))
    whole = reader(values)
    assert torch.isfinite(whole).all()
    for row, length in enumerate(values.lengths.tolist()):
        alone = reader(values.index_select(0, torch.tensor([row])))[0]
        assert torch.allclose(alone, whole[row], atol=1e-5)
        assert bool(alone.any()) == (length > 1)  # of one element, which is special, nothing is its own
    order = torch.arange(len(values)).flip(0)
    assert torch.allclose(reader(values.index_select(0, order)), whole[order], atol=1e-5)


@every_pooling
def test_gradients_reach_every_parameter(pooling: str) -> None:
    reader = reader_of(small(), pooling=pooling).train()
    out = reader(elements((5, 0, 9, 3)))
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    biases = [key for key, _ in reader.named_parameters() if key.endswith("key.bias")]  # which no softmax minds
    for key, parameter in reader.named_parameters():
        if key in biases:
            parameter.grad = torch.ones_like(parameter)
    assert len(biases) == 2
    assert_gradients(reader)


@pytest.mark.parametrize("lengths", [(0, 0), (1, 0), (1,), ()])
@every_pooling
def test_batches_without_own_elements_give_zeros(lengths: tuple[int, ...], pooling: str) -> None:
    reader = reader_of(small(), pooling=pooling)
    out = reader(elements(lengths))
    assert torch.equal(out, torch.zeros(len(lengths), reader.width))
    (out.sum() + sum(item.sum() for item in reader.parameters()) * 0).backward()


@pytest.mark.parametrize("name", ["bert", "gpt2", "wav2vec2"])
def test_checkpointing_changes_no_gradient(name: str) -> None:
    model = small(name)
    grads = []
    for checkpointing in (False, True):
        reader = reader_of(model, checkpointing=checkpointing, dropout=0.3).train()
        torch.manual_seed(4)
        reader(elements((5, 0, 9, 3))).square().sum().backward()
        grads.append({key: parameter.grad for key, parameter in reader.named_parameters()})
    assert all(torch.allclose(grads[0][key], grads[1][key], atol=1e-6) for key in grads[0])


def test_checkpointing_computes_layers_again_and_a_copy_its_own() -> None:
    reader = reader_of(small(), checkpointing=True).train()
    twin = copy.deepcopy(reader)
    runs = {"own": 0, "copy": 0}
    for key, module in (("own", reader), ("copy", twin)):
        first = module.layers.network.get_submodule("encoder.layer.1.attention")
        first.register_forward_hook(lambda *_, key=key: runs.update({key: runs[key] + 1}))
    twin(elements((5,))).sum().backward()
    assert runs == {"own": 0, "copy": 2}
    reader.eval()(elements((5,))).sum().backward()
    assert runs["own"] == 1


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_dropout_is_the_settings_and_off_when_scoring(p: float) -> None:
    reader = reader_of(small(), dropout=p)
    values = elements((5, 9, 3))
    assert torch.equal(reader(values), reader(values))
    reader.train()
    assert torch.equal(reader(values), reader(values)) == (p == 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@every_architecture
def test_every_architecture_trains_in_both_precisions(name: str, precision: str) -> None:
    """DeBERTa's layers raise in bfloat16, and run in float32; a conformer remembers the last length."""
    reader = reader_of(small(name), dropout=0.0).train()
    average = copy.deepcopy(reader)
    for lengths in ((5, 9, 3), (7,), (30, 2)):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            reader(elements(lengths)).square().mean().backward()
        average.load_state_dict(copy.deepcopy(reader).state_dict())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in reader.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        rounded = reader(elements((5, 9, 3)))
    whole = reader(elements((5, 9, 3)))
    assert torch.equal(rounded, whole) == (precision == "fp32" or name == "deberta")


def test_windows_over_a_dialogue_ask_for_it() -> None:
    with pytest.raises(ConfigError, match=r"over the turns of a dialogue: write \{name: encoder-top, over: dialogue\}"):
        EncoderTop(small("gpt2").stored("dialogue"))


def test_elements_of_another_width_are_refused() -> None:
    values = Sequences(torch.zeros(3, WIDTH + 3), torch.tensor([0, 3]))
    with pytest.raises(
        ConfigError, match=f"elements have {WIDTH + 3} values, and the encoder's top takes {WIDTH} \\+ 2"
    ):
        reader_of(small())(values)


def _cost(lengths: list[int], cuts: Any, run: int) -> int:
    parts = np.split(np.array(lengths), list(cuts))
    return sum(int(part.max()) * len(part) + run for part in parts if len(part))


@pytest.mark.parametrize("run", [0, 5, 16, 400])
def test_groups_pad_the_least(run: int) -> None:
    """Against every way to cut."""
    generator = np.random.default_rng(run)
    for _ in range(5):
        sizes = np.sort(generator.integers(1, 40, size=9))
        lengths, counts = np.unique(sizes, return_counts=True)
        cuts = counts.cumsum()[cheapest_cuts(lengths, counts, run)]
        ways = itertools.chain.from_iterable(itertools.combinations(range(1, 9), n) for n in range(9))
        assert _cost(sizes.tolist(), cuts, run) == min(_cost(sizes.tolist(), way, run) for way in ways)


@pytest.mark.parametrize("together", [True, False])
def test_groups_have_every_window_once(together: bool) -> None:
    sizes = torch.tensor([40, 3, 3, 17, 4, 41, 3, 9] * 4)
    groups = groups_of(sizes, together, "cpu")
    assert sorted(torch.cat(groups).tolist()) == list(range(len(sizes)))
    padded = sum(int(sizes[group].max()) * len(group) for group in groups)
    assert padded < (1.25 if together else 1.0) * int(sizes.sum()) + (not together)
    assert len(groups) == len(sizes) if not together else 2 < len(groups) < 8
    assert len(groups_of(sizes[:0], together, "cpu")) in (0, 1)
    assert len(groups_of(sizes, True, "cuda")) == 1
