"""The fusion that docs/own-head.md shows works as it stands there, from one file and one line in the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from head_factory import experiment, head_data, head_of

from features.errors import ConfigError
from heads.data.batch import batch_of
from heads.fusion import FUSIONS
from heads.predict import Predictor


def test_the_fusion_of_the_page_works_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "own-head.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    scope: dict[str, object] = {"__name__": "heads.fusion.product"}
    exec(compile(code, "product.py", "exec", dont_inherit=True), scope)
    (line,) = re.findall(r'`"(\w+)": (\w+)`', text)
    monkeypatch.setitem(FUSIONS, line[0], scope[line[1]])  # type: ignore[arg-type]
    parts = {"fusion": {"name": line[0], "dim": 5}}
    batch = batch_of(head_data(missing=0.5))
    assert torch.isfinite(Predictor(experiment(**parts), head_of(**parts)).scores(batch)).all()
    with pytest.raises(ConfigError, match=r"fusion.dim: input should be greater than or equal to 1, not 0"):
        experiment(fusion={"name": line[0], "dim": 0})
