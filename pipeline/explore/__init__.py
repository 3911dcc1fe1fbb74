"""A look inside: stored embeddings in two and three dimensions, what a corpus holds, what encoders saw of a clip.

`sampling` and `vectors` choose and read rows, `projection` and `probe` compute, `scatter` and `data_figures` draw, the
`*_page` modules make pages that work offline; the `clip_*` modules look at one utterance. Nothing here trains a head,
and `embeddings` never reads the test split. A look at a clip is of any split, and takes stored faces of that one
utterance.
"""
