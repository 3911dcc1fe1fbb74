"""A trained head as one function of named tensors, without loops over lengths and without shapes that depend on values:
what ONNX can hold.

    padded.py    dialogues and sequences as padded tensors, with what parts ask of `Layout` and `Sequences`
    forms.py     FORMS: the parts that cannot be traced as they are, each beside a form with the same weights
    contexts.py, readers.py, over_batch.py, decisions.py
                 those forms
    inputs.py    the named inputs of a graph, from what a head reads
    head.py      HeadGraph: raw stored embeddings -> logits, of one seed or of several

A part that is new needs no form as long as torch.export can trace it on padded tensors; tests/heads/graph says whether
it can.
"""
