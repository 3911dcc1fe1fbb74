"""From a corpus as it is downloaded to a manifest: one module a layout, each giving (Manifest, IngestSummary).

meld         MELD's CSV files and clip folders, and the generated sample corpus, which has the same layout
emorynlp     EmoryNLP's CSV files, and its original JSON
iemocap      IEMOCAP's session folders
dailydialog  DailyDialog's text files
m3ed         M3ED's JSON
mmsa         CMU-MOSEI and CH-SIMS: label.csv, its scores as classes
acted        RAVDESS, CREMA-D and ESD, by their file names
file_names   any corpus whose file names carry codes, by a pattern
table        any tables, by a mapping of columns: sources (which files), reading (files into rows: raw_table, delimited,
             json_tables), gather and columns (rows into a manifest's columns), labels, splits, build_ids, own_card
merge        several manifests as one (merge_cards: one card of several)
summary      counts, labels and findings: where every ingest ends
"""
