"""What the HLM12ERC report set out to show, and what it says that it found.

Source: "HLM12ERC, a Multimodal Model for Emotion Recognition in Conversations", final report: its objectives stand on
page 9, its own answers on page 23, table 4 on page 25. Its words are told again here, not quoted. What `remarks` say is
read from its code and runs. A seventh objective is to test a final model: the first sentence of our report has ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Objective:
    """One objective, what the report found, and the contrasts of the suite that answer it, as (A, B): the report hoped
    that A is higher."""

    number: int
    question: str
    reported: str
    contrasts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Paper:
    """A published table that a suite re-states.

    dataset, split: of the published scores
    remarks:        number of an experiment -> what is to be known of the score printed there
    """

    suite: str
    title: str
    dataset: str
    split: str
    objectives: tuple[Objective, ...]
    remarks: dict[int | str, str] = field(default_factory=dict)


OBJECTIVES = (
    Objective(
        1,
        "Does the Dice loss make a better baseline than cross-entropy or the focal loss?",
        "yes, by 2 points (experiments 1 and 2).",
        (("02-baseline-dice", "01-baseline-cce"), ("02-baseline-dice", "03-baseline-focal")),
    ),
    Objective(
        2,
        "Does GPT-2, which reads the dialogue so far, outperform GloVe?",
        "yes, by 21 points (experiments 4 and 5).",
        (("05-t-um-gpt2", "04-t-um-glove"), ("06-t-mm-gpt2", "02-baseline-dice")),
    ),
    Objective(
        3,
        "Does wav2vec2 outperform an encoder of the waveform?",
        "yes, by 9 points, where attention fuses the modalities (experiments 17, 21 and 24).",
        (
            ("08-a-um-wav2vec2", "07-a-um-waveform"),
            ("09-a-mm-wav2vec2", "02-baseline-dice"),
            ("14-fusion-concat-adv", "06-t-mm-gpt2"),
        ),
    ),
    Objective(
        4,
        "Do the faces alone outperform the whole scene?",
        "no, and at a higher cost.",
        (("11-v-um-retinaface", "10-v-um-resnet50"), ("12-v-mm-retinaface", "02-baseline-dice")),
    ),
    Objective(
        5,
        "Does attention between the modalities outperform their concatenation?",
        "yes, by 3 points on the baseline's features and by 17 on GPT-2 and wav2vec2 (experiments 2, 13, 14 and 15).",
        (("13-fusion-mha-baseline", "02-baseline-dice"), ("15-fusion-mha-adv", "14-fusion-concat-adv")),
    ),
    Objective(
        6,
        "Does a triplet loss beside the Dice loss outperform the Dice loss?",
        "no clear picture.",
        (("16-losses-dice_triplet", "15-fusion-mha-adv"), ("16-losses-dice_triplet", "16b-size-sampler")),
    ),
)
_TWICE = (
    "The score printed for this experiment is that of experiment {}, evaluated again under another name; the best dev"
    " score of this one's own training was {}."
)
_REMARKS: dict[int | str, str] = {28: _TWICE.format(26, "45.7"), 29: _TWICE.format(27, "52.4")}
_TITLE = "The HLM12ERC report's table 4"
PAPERS = {
    suite: Paper(suite, _TITLE, "meld", "dev", OBJECTIVES, _REMARKS) for suite in ("table4", "table4-as-published")
}
