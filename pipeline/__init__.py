"""The commands, dataset ingest, suites of experiments and reports: the only place that knows both stages."""
