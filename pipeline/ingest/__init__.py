"""From a corpus as it is downloaded to a manifest: one module a layout, each giving (Manifest, IngestSummary).

meld      MELD's CSV files and clip folders, and the generated sample corpus, which has the same layout
emorynlp  EmoryNLP's CSV files
iemocap   IEMOCAP's session folders
table     any tables, by a mapping of columns: sources (which files), reading (files into rows: raw_table, delimited,
          json_tables), gather and columns (rows into a manifest's columns), labels, splits, build_ids, own_card, rows
merge     several manifests as one (merge_cards: one card of several)
summary   counts, labels and findings: where every ingest ends
"""
