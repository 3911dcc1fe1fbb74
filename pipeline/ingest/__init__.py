"""From a corpus as it is downloaded to a manifest: one module a layout, each giving (Manifest, IngestSummary).

meld      MELD's CSV files and clip folders, and the generated sample corpus, which has the same layout
emorynlp  EmoryNLP's CSV files
iemocap   IEMOCAP's session folders
table     any tables, with a mapping of columns: sources (which files), raw_table, delimited, json_tables and reading (files into
          rows), columns and gather (a manifest's columns of them), labels, splits, build_ids, own_card, rows (the check)
merge     several manifests as one
summary   counts, labels and findings, where every ingest ends
"""
