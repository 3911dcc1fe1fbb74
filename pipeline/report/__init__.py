"""Reports of trained heads: one self-contained page, the same facts as Markdown, and a table for machines.

`read` turns run folders (`pipeline.runs`) into snapshots, `corpus` ranks them by dev, `evidence` works out intervals
and costs, `figures` draws, `html` and `markdown` write. Nothing here trains, predicts or reads a store's tensors.
"""
