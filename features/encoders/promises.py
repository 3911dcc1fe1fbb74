"""What is promised of every embedding, tried when a model is loaded: again the same, and the same beside others.

Two small inputs run through the very batches that encoding uses. A model that draws random numbers as it runs (ViT-MAE
hides three quarters of a picture, in evaluation mode, too) or that reads its padding (FNet mixes all places of a batch)
would otherwise be stored as if it were right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from features.errors import WeightsError, first_line

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")

TOLERANCES = {"fp32": 1e-5, "bf16": 0.1, "fp16": 0.1}
"""How far a result alone may be from the same beside a longer input: the norm of the difference relative to its own.
In half precision two batches are rounded differently; the error energy of 0.1 is the 1 % that its parity is held to."""


def check_promises(
    run: Callable[[Sequence[Item]], Sequence[torch.Tensor]], short: Item, long: Item, model: str | None, dtype: str
) -> None:
    """Run `short` twice alone, then beside `long`.

    run: one tensor per input, of what is real in it alone
    Raises WeightsError where a run fails, where two runs differ (on a CPU in a single bit, on a GPU beyond the
    tolerance, whose sums may take another order), or where the input beside changes the result beyond the tolerance.
    """
    import torch

    try:
        with torch.inference_mode():
            (first,), (again,) = run([short]), run([short])
            beside, _ = run([short, long])
    except (TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError) as error:
        raise WeightsError(f"model {model!r} cannot run a batch ({first_line(error)}): give another one") from error
    off = relative_difference(again, first)
    if off > TOLERANCES[dtype] or (off > 0 and first.device.type == "cpu"):
        raise WeightsError(
            f"model {model!r} draws random numbers as it runs, the same input twice gives results that differ by"
            f" {off:.1g}: nothing that it computes could be had again; give another model"
        )
    off = relative_difference(beside, first)
    if off > TOLERANCES[dtype]:
        raise WeightsError(
            f"model {model!r} gives an input beside a longer one another result, off by {off:.1g} (at most"
            f" {TOLERANCES[dtype]:g} in {dtype}): it reads its padding or its batch; give another model"
        )


def relative_difference(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """||ours - reference|| / ||reference||. A value that is NaN or infinite in both alike does not count."""
    import torch

    ours, reference = ours.cpu().double(), reference.cpu().double()
    same = (ours == reference) | (ours.isnan() & reference.isnan())
    if bool(same.all()):
        return 0.0
    difference = torch.where(same, 0.0, ours - reference).norm()
    norm = torch.where(reference.isfinite(), reference, 0.0).norm()
    return float("inf") if not difference.isfinite() or not norm else float(difference / norm)
