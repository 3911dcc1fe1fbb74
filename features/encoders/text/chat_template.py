"""A text as a user's message in the words of a model's own chat template, up to where the model would answer."""

from __future__ import annotations

from typing import Any

from features.errors import UsageError, first_line

_MESSAGE = "The-Message-Itself"
_DATE = "26 Jul 2024"  # some templates write today's, and no embedding would be had again tomorrow


def chat_around(tokenizer: Any, model: str) -> tuple[str, str]:
    """What the template writes before and behind a message. tokenizer: transformers' own

    Raises UsageError where there is no template, or none that holds a message once.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UsageError(f"chat=true: the tokenizer of model {model!r} has no chat template: leave chat out")
    talk = [{"role": "user", "content": _MESSAGE}]
    try:
        made: str = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True, date_string=_DATE)
    except Exception as error:  # templates are programs, and raise what they like
        raise UsageError(f"chat=true: the template of model {model!r} fails ({first_line(error)})") from error
    if made.count(_MESSAGE) != 1:
        raise UsageError(f"chat=true: the template of model {model!r} writes a message {made.count(_MESSAGE)} times")
    before, _, behind = made.partition(_MESSAGE)
    return before, behind
