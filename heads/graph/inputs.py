"""The named inputs of a graph: what a user feeds, as it is stored.

Legend: b utterances, or d dialogues of t turns where a head sees dialogues; n elements of the longest sequence.

  NAME           float32, one stored embedding an utterance: [b, d] or [b, layers, d]; of a sequence [b, n, *e], of a
                 waveform [b, n]. What stands in padding, or where it is missing, is never looked at
  NAME_present   bool [b], True where the embedding is there
  NAME_length    of a sequence: int64 [b], its elements

Where a head sees dialogues, [d, t] stands for [b], and there are

  turn_mask      bool [d, t], True where a turn is real; the real ones stand at the left
  speaker_slot   int64 [d, t], who speaks: 0 for who speaks first in the dialogue, then 1, ...

and where it knows speakers by name

  speaker        int64 [b], place in the list of names, from 1 on; 0 is any other
"""

from __future__ import annotations

from dataclasses import dataclass

from heads.training.checkpoint import InputFeature, TrainedHead

TURN_MASK, SPEAKER_SLOT, SPEAKER = "turn_mask", "speaker_slot", "speaker"


@dataclass(frozen=True)
class GraphInput:
    """A stored feature as a graph takes it. index: its place among the features of its modality"""

    name: str
    modality: str
    index: int
    feature: InputFeature

    @property
    def present(self) -> str:
        return f"{self.name}_present"

    @property
    def length(self) -> str:
        return f"{self.name}_length"

    @property
    def is_sequence(self) -> bool:
        return self.feature.shape.kind == "sequence"

    @property
    def names(self) -> list[str]:
        return [self.name, self.present, *([self.length] if self.is_sequence else [])]


def graph_inputs(trained: TrainedHead) -> list[GraphInput]:
    """In a head's order, called what the features are called; two of one name are told apart by their modality, then
    by their fingerprints."""
    taken = {TURN_MASK, SPEAKER_SLOT, SPEAKER}
    found = []
    for modality, features in trained.inputs.items():
        for index, feature in enumerate(features):
            plain = feature.folder.partition("/")[2].rpartition("-")[0] or feature.folder.replace("/", "_")
            long = f"{modality}_{plain}"
            for name in (plain, long, f"{long}_{feature.fingerprint[:8]}", f"{long}_{index}"):
                item = GraphInput(name, modality, index, feature)
                if not taken & set(item.names):
                    break
            taken |= set(item.names)
            found.append(item)
    return found
