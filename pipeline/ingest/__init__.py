"""From a corpus as it is downloaded to a manifest: one module a layout, each giving (Manifest, IngestSummary).

meld         MELD's CSV files and clip folders, and the generated sample corpus, which has the same layout
emorynlp     EmoryNLP's CSV files, and its original JSON
iemocap      IEMOCAP's session folders
dailydialog  DailyDialog's text files
m3ed         M3ED's JSON
mmsa         CMU-MOSEI and CH-SIMS: label.csv, its scores as classes
acted        RAVDESS, CREMA-D and ESD, by their file names
file_names   any corpus whose file names carry codes, by a pattern
table        any CSV or JSONL, with a mapping of columns
"""
