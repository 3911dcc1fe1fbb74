"""FORMS: parts that cannot be traced as they are, and the form of each that can. One line a part."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from heads.context.bclstm import BiLSTM
from heads.context.dialogue_rnn import DialogueRNN
from heads.fusion.over_batch import AttentionOverBatch
from heads.graph.contexts import SteppedBiLSTM, SteppedDialogueRNN
from heads.graph.decisions import Centres
from heads.graph.over_batch import OverBatch
from heads.graph.readers import PaddedTextCNN, PaddedWaveformMLP
from heads.losses.spcl import Spcl
from heads.readers.text_cnn import TextCNN
from heads.readers.waveform_mlp import WaveformMLP

FORMS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    AttentionOverBatch: OverBatch,
    BiLSTM: SteppedBiLSTM,
    DialogueRNN: SteppedDialogueRNN,
    Spcl: Centres,
    TextCNN: PaddedTextCNN,
    WaveformMLP: PaddedWaveformMLP,
}


def traceable(module: nn.Module) -> nn.Module:
    """A copy of a module, in evaluation mode, with every part within it in the form that can be traced."""
    return _in_form(copy.deepcopy(module).eval())


def _in_form(module: nn.Module) -> nn.Module:
    form = FORMS.get(type(module))
    if form is not None:
        return form(module).eval()
    for name, child in module.named_children():
        setattr(module, name, _in_form(child))
    return module
