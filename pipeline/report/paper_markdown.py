"""A published table beside ours as report.md has it."""

from __future__ import annotations

from pipeline.report.markdown import table, text_of
from pipeline.report.paper import PaperResult
from pipeline.report.paper_words import paper_caption, paper_header, paper_line, reply_sentences, reply_title


def paper_markdown(result: PaperResult) -> list[str]:
    """The objectives with their answers, and the table; notes of its cells stand below it."""
    blocks = [f"## {text_of(result.paper.title)}, suite {text_of(result.paper.suite)}"]
    for reply in result.replies:
        blocks.append(f"**{text_of(reply_title(reply))}** {text_of(' '.join(reply_sentences(result.corpus, reply)))}")
    lines = [paper_line(result, row) for row in result.rows]
    blocks.append(table(paper_header(result), [line.cells for line in lines], text_columns=2))
    blocks.append(text_of(paper_caption(result)))
    told: dict[str, list[str]] = {}
    for line in lines:
        for note in line.notes.values():
            told.setdefault(note, []).append(line.cells[0])
    if told:
        blocks.append("\n".join(f"- {text_of(', '.join(numbers))}: {text_of(note)}" for note, numbers in told.items()))
    return blocks
