"""Samplers: what each epoch shows, in which batches, and how random it is."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from heads.data.samplers import SAMPLERS
from heads.data.samplers.bucketed import POOLED_BATCHES, bucketed
from heads.data.samplers.class_balanced import class_balanced
from heads.data.samplers.class_balanced_as_published import class_balanced_as_published
from heads.data.samplers.shuffle import HELD_BLOCKS, shuffle
from heads.data.samplers.spcl_curriculum import inclusion_chances, spcl_curriculum
from heads.signals import Draw

MELD = (1109, 271, 268, 1743, 4710, 683, 1205)
quick = settings(max_examples=40, deadline=None)


def labels_of(counts: list[int] | tuple[int, ...], seed: int = 0) -> torch.Tensor:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def draw(labels: torch.Tensor, size: int, seed: int = 0, **values: Any) -> Draw:
    settled: dict[str, Any] = {"epoch": 1, "epochs": 4} | values
    return Draw(labels, size, generator=torch.Generator().manual_seed(seed), **settled)


def ranked(labels: torch.Tensor) -> dict[str, Any]:
    return {"difficulty": lambda: torch.arange(len(labels)).float(), "lengths": torch.arange(len(labels)) * 7 % 13}


counts_of_classes = st.lists(st.integers(1, 30), min_size=1, max_size=5)


@pytest.mark.parametrize("name", SAMPLERS)
@quick
@given(counts=counts_of_classes, each=st.integers(1, 6), epoch=st.integers(1, 4))
def test_epochs_are_as_long_as_promised(name: str, counts: list[int], each: int, epoch: int) -> None:
    labels, size = labels_of(counts), each * len(counts)
    batches = list(SAMPLERS[name](draw(labels, size, epoch=epoch, **ranked(labels))))
    assert all(batch.dtype == torch.int64 and batch.ndim == 1 for batch in batches)
    assert all(len(batch) == size for batch in batches[:-1])
    assert 0 < len(batches[-1]) <= size
    drawn = torch.cat(batches)
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < len(labels)
    if name == "class-balanced-as-published":
        assert len(drawn) == max(counts) * len(counts)
    elif name == "class-balanced":
        assert len(labels) <= len(drawn) < len(labels) + size
    else:
        assert len(drawn) == len(labels)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_generator_decides_and_nothing_else(name: str) -> None:
    labels = labels_of([20, 5, 11, 30])
    orders = []
    for seed, noise in ((3, 1), (3, 2), (4, 1)):
        torch.manual_seed(noise)
        orders.append(torch.cat(list(SAMPLERS[name](draw(labels, 8, seed, **ranked(labels))))).tolist())
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("name", SAMPLERS)
def test_epochs_differ(name: str) -> None:
    labels = labels_of([20, 5, 11, 30])
    one = draw(labels, 8, **ranked(labels))
    first, second = (torch.cat(list(SAMPLERS[name](one))).tolist() for _ in range(2))
    assert first != second


@quick
@given(count=st.integers(1, 300), size=st.integers(1, 40), block=st.none() | st.integers(1, 50))
def test_shuffling_shows_every_example_once(count: int, size: int, block: int | None) -> None:
    labels = torch.zeros(count, dtype=torch.int64)
    drawn = torch.cat(list(shuffle(draw(labels, size, block=block))))
    assert sorted(drawn.tolist()) == list(range(count))


def test_shuffling_in_blocks_reads_few_blocks_at_a_time_in_random_order() -> None:
    count, block = 10_007, 10
    blocks = torch.cat(list(shuffle(draw(torch.zeros(count), 32, block=block)))) // block
    order: list[int] = []
    for start in range(0, count, HELD_BLOCKS * block):
        held = set(blocks[start : start + HELD_BLOCKS * block - block].tolist())
        assert len(held) <= HELD_BLOCKS
        assert min(Counter(blocks[start : start + HELD_BLOCKS * block - block].tolist()).values()) < block
        order.append(min(held))
    assert len(set(order)) > 10
    switches = int((blocks[1:] != blocks[:-1]).sum())
    assert switches > 0.9 * count  # shuffled among the blocks that are held, not block after block
    first = blocks[: HELD_BLOCKS * block - block].float()
    assert first.max() - first.min() > 800  # from all over


def test_every_order_of_a_small_epoch_is_as_likely() -> None:
    one = draw(torch.zeros(3, dtype=torch.int64), 3)
    seen = Counter(tuple(next(iter(shuffle(one))).tolist()) for _ in range(1200))
    assert len(seen) == 6
    assert all(abs(times - 200) < 5 * math.sqrt(200 * 5 / 6) for times in seen.values())


@quick
@given(counts=counts_of_classes, each=st.integers(1, 6), absent=st.booleans())
def test_every_batch_holds_as_many_of_every_class(counts: list[int], each: int, absent: bool) -> None:
    labels = labels_of([*counts, 0, 3] if absent else counts)  # a class without examples is left out
    classes = len(labels.unique())
    for batch in class_balanced(draw(labels, each * classes)):
        _, found = labels[batch].unique(return_counts=True)
        assert found.tolist() == [each] * classes


@quick
@given(counts=counts_of_classes, each=st.integers(1, 6))
def test_no_example_comes_again_before_all_of_its_class_came(counts: list[int], each: int) -> None:
    labels = labels_of(counts)
    drawn = torch.cat(list(class_balanced(draw(labels, each * len(counts)))))
    for label in range(len(counts)):
        own = drawn[labels[drawn] == label].tolist()
        rounds = [own[start : start + counts[label]] for start in range(0, len(own), counts[label])]
        assert all(len(set(part)) == len(part) for part in rounds)
        if len(own) >= counts[label]:
            assert set(own) == set((labels == label).nonzero().flatten().tolist())


def test_class_balanced_on_meld() -> None:
    labels = labels_of(MELD)
    batches = list(class_balanced(draw(labels, 63)))
    assert len(batches) == 159
    assert all(torch.bincount(labels[batch]).tolist() == [9] * 7 for batch in batches)
    drawn = torch.cat(batches)
    assert len(drawn.unique()) == sum(min(count, 159 * 9) for count in MELD)
    assert len(labels) <= len(drawn) < len(labels) + 63


@pytest.mark.parametrize(("size", "mend"), [(64, "try 63 or 70"), (6, "try 7$"), (71, "try 70 or 77")])
def test_sizes_that_classes_do_not_divide_are_refused_at_once(size: int, mend: str) -> None:
    with pytest.raises(ConfigError, match=rf"batch.size \({size}\) must be a multiple of the 7 classes.*{mend}"):
        class_balanced(draw(labels_of(MELD), size))


def test_the_reports_sampler_on_meld() -> None:
    labels = labels_of(MELD)
    batches = list(class_balanced_as_published(draw(labels, 11)))
    drawn = torch.cat(batches)
    assert len(drawn) == 32_970 == 7 * 4710
    assert torch.bincount(labels[drawn]).tolist() == [4710] * 7
    classes = Counter(len(labels[batch].unique()) for batch in batches[:-1])
    assert len(batches[-1]) == 32_970 % 11
    assert min(classes) >= 3
    assert max(classes) <= 6  # never all 7
    pairs = labels[drawn].view(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()
    turns = pairs[:, 0].view(-1, 7)
    assert (turns.sort(dim=1).values == torch.arange(7)).all()
    assert len({tuple(turn.tolist()) for turn in turns}) > 1000  # the order of classes is drawn


@quick
@given(counts=counts_of_classes, size=st.integers(1, 40))
def test_the_reports_sampler_goes_through_each_class_in_order(counts: list[int], size: int) -> None:
    labels = labels_of(counts)
    drawn = torch.cat(list(class_balanced_as_published(draw(labels, size))))
    for label in range(len(counts)):
        members = (labels == label).nonzero().flatten()
        own = drawn[labels[drawn] == label]
        assert own.tolist() == [int(members[place % len(members)]) for place in range(len(own))]


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize(("epoch", "epochs"), [(1, 8), (4, 8), (8, 8), (1, 1)])
def test_chances_go_evenly_from_the_easiest_to_the_hardest(count: int, epoch: int, epochs: int) -> None:
    chances = inclusion_chances(count, epoch, epochs)
    share = epoch / epochs
    expected = [(1 - share) + (2 * share - 1) * rank / (count - 1) for rank in range(count)]
    assert chances.tolist() == pytest.approx(expected, abs=1e-6)
    assert chances.mean().item() == pytest.approx(0.5)


@pytest.mark.parametrize("epoch", [1, 4, 8])
def test_the_curriculum_includes_ranks_by_their_chances(epoch: int) -> None:
    """The first pass of 400 epochs: an example that comes twice is of a later one."""
    count, times = 20, 400
    labels = torch.zeros(count, dtype=torch.int64)
    difficulty = torch.randperm(count, generator=torch.Generator().manual_seed(5)).float()
    one = draw(labels, count, epoch=epoch, epochs=8, difficulty=lambda: difficulty)
    seen = torch.zeros(count)
    for _ in range(times):
        drawn = torch.cat(list(spcl_curriculum(one))).tolist()
        seen += torch.bincount(torch.tensor(drawn), minlength=count)
    by_rank = seen[difficulty.argsort()]
    share = by_rank / by_rank.sum()
    chances = inclusion_chances(count, epoch, 8)
    expected = chances / chances.sum()
    bound = 5 * (2 * chances * (1 - chances) / times).sqrt() / (chances.sum() * 2) + 0.006
    assert ((share - expected).abs() < bound).all()
    assert by_rank[-1] == 0 if chances[-1] == 0 else by_rank[-1] > 0
    if epoch == 1:
        assert by_rank[0] > 3 * by_rank[-1]
    if epoch == 8:
        assert by_rank[0] == 0


def test_a_pass_holds_each_rank_as_often_as_a_coin_says() -> None:
    """n = 4000, epoch 2 of 8: the first pass is what comes before an example comes again."""
    count = 4000
    labels = torch.zeros(count, dtype=torch.int64)
    drawn = torch.cat(list(spcl_curriculum(draw(labels, 64, epoch=2, epochs=8, **ranked(labels))))).tolist()
    first = torch.tensor(drawn[: _until_again(drawn)])
    chances = inclusion_chances(count, 2, 8)
    for lower in range(0, count, 1000):
        found = int(((first >= lower) & (first < lower + 1000)).sum())
        expected = float(chances[lower : lower + 1000].sum()) * len(first) / (count / 2)
        assert abs(found - expected) < 5 * math.sqrt(1000 / 4)
    middle = first.float().view(-1)[: len(first) // 2].mean()
    assert abs(float(middle) - float(first.float().mean())) < 150  # in random order, not from the easiest on


def _until_again(drawn: list[int]) -> int:
    seen: set[int] = set()
    for place, position in enumerate(drawn):
        if position in seen:
            return place
        seen.add(position)
    return len(drawn)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("epoch", [1, 2])
def test_the_curriculum_ends_even_with_few_examples(count: int, epoch: int) -> None:
    labels = torch.zeros(count, dtype=torch.int64)
    drawn = torch.cat(list(spcl_curriculum(draw(labels, 2, epoch=epoch, epochs=2, **ranked(labels)))))
    assert len(drawn) == count


def test_difficulty_is_asked_once_an_epoch_and_by_the_curriculum_alone() -> None:
    labels, asked = labels_of([20, 12]), []

    def difficulty() -> torch.Tensor:
        asked.append(1)
        return torch.rand(32)

    for name, sampler in SAMPLERS.items():
        list(sampler(draw(labels, 4, difficulty=difficulty, lengths=torch.arange(32))))
        assert len(asked) == (name == "spcl-curriculum")
        asked.clear()


def test_a_curriculum_without_difficulties_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="no loss of this experiment has: add spcl"):
        spcl_curriculum(draw(labels_of([3, 3]), 2))


@pytest.mark.parametrize(("count", "block"), [(3205, None), (3205, 40)])
def test_bucketed_batches_are_of_like_length(count: int, block: int | None) -> None:
    """Every example once; batches of a pool lie apart in length, come in random order, and pools are random."""
    lengths = torch.randint(1, 60, (count,), generator=torch.Generator().manual_seed(1))
    labels, size = torch.zeros(count, dtype=torch.int64), 32
    batches, again = (list(bucketed(draw(labels, size, lengths=lengths, block=block))) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(batches, again, strict=True))
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert len(batches) == math.ceil(count / size)
    plain = list(shuffle(draw(labels, size, block=block)))
    wasted = [sum(int(lengths[b].max()) * len(b) for b in found) / int(lengths.sum()) for found in (batches, plain)]
    assert wasted[0] < 1.05 < 1.5 < wasted[1]
    pool = size * POOLED_BATCHES
    for start, end in ((0, pool), (pool, 2 * pool)):
        drawn = torch.cat(batches[start // size : end // size])
        assert set(drawn.tolist()) == set(torch.cat(plain)[start:end].tolist())
    first = torch.tensor([float(lengths[batch].float().mean()) for batch in batches[:50]])
    assert not torch.equal(first, first.sort().values)


def test_bucketed_asks_for_a_sequence() -> None:
    with pytest.raises(
        ConfigError, match=r"bucketed puts .* no input of this experiment is a sequence: take the sampler"
    ):
        bucketed(draw(torch.zeros(9, dtype=torch.int64), 4))
