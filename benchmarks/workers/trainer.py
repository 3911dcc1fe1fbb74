"""Hugging Face's Trainer as it is compared with: fused AdamW, and nothing saved, logged or evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heads.config.experiment import Experiment

if TYPE_CHECKING:
    from transformers import TrainingArguments


def arguments_for(chosen: Experiment, folder: str, **more: Any) -> TrainingArguments:
    """The experiment's batches, epochs, rate and weight decay. more: other arguments of its own"""
    from transformers import TrainingArguments
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=chosen.batch.size,
        num_train_epochs=chosen.stop.epochs,
        learning_rate=chosen.optim.lr,
        weight_decay=chosen.optim.weight_decay,
        optim="adamw_torch_fused",
        save_strategy="no",
        logging_strategy="no",
        eval_strategy="no",
        report_to=[],
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        **more,
    )
