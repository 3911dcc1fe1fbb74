"""From a corpus as it is downloaded to a manifest: one module a layout, each giving (Manifest, IngestSummary).

meld      MELD's CSV files and clip folders, and the generated sample corpus, which has the same layout
emorynlp  EmoryNLP's CSV files
iemocap   IEMOCAP's session folders
table     any CSV or JSONL, with a mapping of columns
"""
