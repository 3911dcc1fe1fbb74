"""The sections of an experiment's YAML: their keys, limits and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from heads.config.registry import Section

Size = Annotated[int, Field(ge=1, le=1 << 20)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Paper(Section):
    """The published row that an experiment repeats, and the score printed there, in percent."""

    exp: int | str
    reported: float | None = None


class Tuned(Section):
    """Says that a search found this experiment: the best of so many different configurations by this score. It changes
    no number of a run. Reports show it."""

    configurations_tried: Annotated[int, Field(ge=1)]
    selected_by: str


class FeedForward(Section):
    """Hidden layers between context and classifier.

    sizes:      number of values of each layer. `[]` is a linear head
    dropout:    dropout after each layer
    activation: activation function of each layer
    """

    sizes: tuple[Size, ...] = (512,)
    dropout: Share = 0.2
    activation: Literal["relu", "gelu", "tanh"] = "relu"


class Batch(Section):
    """The examples of one training step.

    unit:    what a batch consists of: utterances, or whole dialogues
    size:    how many of them
    sampler: which examples come, and in which order: the name of a sampler
    """

    unit: Literal["utterances", "dialogues"] = "utterances"
    size: Size = 64
    sampler: str = "shuffle"


class Optim(Section):
    """AdamW, the optimiser, with its learning rate, its schedule and its precision.

    lr:       the highest learning rate
    weight_decay: weight decay of weights that multiply an input. Biases, norms and embeddings have none
                  (heads/training/weight_decay.py)
    warmup:   share of all steps during which the learning rate rises from 0
    schedule: what the learning rate does after the warm-up. linear, cosine: it falls to 0. constant: it stays
    clip:   gradients with a larger norm are scaled down to it; null: never
    ema:    decay of an exponential moving average of the weights. The average is then scored and kept; null: no average
    lr_top: learning rate of an encoder's layers (the reader encoder-top); null: the same as lr
    top_decay: factor on lr_top for each layer below the last
    precision: precision of the head's matrix products in training. bf16: mixed precision, where weights, losses, AdamW
               and all scoring stay fp32. auto: bf16 if the device has units for it, else fp32
    """

    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.05
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    lr_top: Annotated[float, Field(gt=0)] | None = None
    top_decay: Annotated[float, Field(gt=0, le=1)] = 1.0

    def top_rate(self, depth: int) -> float:
        """The learning rate of an encoder's layer, `depth` layers below its last."""
        return (self.lr if self.lr_top is None else self.lr_top) * self.top_decay**depth

    def stated(self) -> dict[str, Any]:
        """JSON-ready. Keys that were added later are left out if they have their default, so that older runs keep their
        keys."""
        later = {"precision": "fp32", "lr_top": None, "top_decay": 1.0}
        return {key: value for key, value in self.model_dump().items() if key not in later or value != later[key]}


class Stop(Section):
    """When training ends.

    epochs:   largest number of epochs. Learning rates and curricula are spread over this number
    patience: training stops after this many epochs without a better score on dev, counted after the warm-up. With the
              sampler spcl-curriculum, training always goes on to the last epoch
    """

    epochs: Size = 60
    patience: Size = 10


class Speakers(Section):
    """An embedding of the speaker's name beside the fused vector. Reports then say "uses speaker names".

    dim:      number of values of an embedding
    min_rows: speakers with fewer utterances in train share one embedding, `other`. So do speakers that are not in train
    dropout:  probability that the speaker of a training example is replaced by `other`
    """

    dim: Size = 16
    min_rows: Size = 50
    dropout: Share = 0.2


class Evaluation(Section):
    """How the head is scored.

    dropout: true: leave dropout on in the scores that are told, while epochs are chosen with it off. This is a slip of
             the HLM12ERC code; use it to measure what the slip costs
    """

    dropout: bool = False


class FusionCommon(Section):
    """Settings of every fusion.

    input_dropout:    share of an embedding's values that are dropped in training, before the fusion
    modality_dropout: probability that a modality of a training example is hidden, though it is there
    """

    input_dropout: Share = 0.0
    modality_dropout: Share = 0.0


class LossCommon(Section):
    """Settings of every loss.

    weight: factor on the loss before the losses are summed
    """

    weight: Annotated[float, Field(gt=0)] = 1.0
