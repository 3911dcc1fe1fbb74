"""`erc evaluate`: score trained heads on a split; the only command that reads test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import LABELS_MAP_OR_PATH, LocalPath, StorePlace, allow_options, json_option, read_store
from pipeline.terminal.output import print_json, print_warning

if TYPE_CHECKING:
    from pipeline.runs.folder import Run
    from pipeline.runs.metrics_file import Metrics, SliceScores
    from pipeline.scoring.evaluation import Evaluated
    from pipeline.scoring.selection import Selection

PROTOCOL = "--select best-dev,baseline"


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=LocalPath())
@click.option("--split", required=True, help="train, dev, test or another split of the manifest.")
@click.option(
    "--select",
    metavar="WORDS",
    help="Score only these runs, separated by commas. best-dev: for each corpus, the run with the highest mean score on"
    " dev; a line says if other code, libraries or devices made some of them. baseline: the experiment that each suite"
    " declares as its baseline.",
)
@click.option(
    "--store",
    type=StorePlace(),
    metavar="DIRECTORY|ADDRESS",
    help="Folder, or address of a pack, to read embeddings from.  [default: the store that each run recorded]",
)
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Score the utterances of this manifest. Scores on another corpus, or on other rows, are kept apart."
    "  [default: the manifest that each run recorded]",
)
@click.option(
    "--labels-map",
    metavar="MAP",
    type=LABELS_MAP_OR_PATH,
    help="Which label of the manifest (THEIRS) counts as which label of the run (OURS). MAP is THEIRS=OURS,..., a YAML"
    " file of such lines, or the name of a map that ships. Several labels may become one. Labels that MAP does not"
    " name are not scored.",
)
@allow_options("Score")
@click.option(
    "--allow-changed-code",
    is_flag=True,
    help="Score by today's code even if the code that makes a head's output has changed since the run was trained. Such"
    " scores are kept apart, in RUN/other-code.",
)
@json_option
def command(
    runs: tuple[Path, ...],
    split: str,
    select: str | None,
    store: Path | str | None,
    manifest: Path | None,
    labels_map: str | None,
    allow_stale: bool,
    allow_absent: bool,
    allow_changed_code: bool,
    as_json: bool,
) -> int:
    """Score trained heads on a split, each over all its seeds.

    RUN is a run folder, or a folder of run folders. For test, use `--select best-dev,baseline`: it chooses the run by
    its scores on dev, and the test scores of all other runs stay unseen. Each time that test is scored, a line is
    appended to test_reads.jsonl beside the runs. Utterances without a label are predicted, but do not count in any
    score. Scores on another corpus than that of training lie in RUN/other-corpora.

    A run is refused if the code that makes its heads' output (model, readers, contexts, fusion, and transformers under
    an encoder-top) has changed since it was trained. Trainer, device and torch's version do not count.

    \b
    Example:
      erc evaluate runs --split test --select best-dev,baseline
      erc evaluate runs --split dev
      erc evaluate runs --split test --manifest emorynlp.parquet --labels-map joyful=joy,mad=anger,sad=sadness
    """
    from features.errors import ErcError
    from pipeline.runs.folder import find_runs
    from pipeline.scoring.evaluation import Evaluator
    from pipeline.scoring.label_map import read_label_map
    from pipeline.scoring.selection import parse_words, select_runs
    from pipeline.suites.run_errors import failure_line
    from pipeline.terminal.progress import progress_bar

    words = parse_words(select) if select is not None else []
    mapping = read_label_map(labels_map) if labels_map is not None else None
    evaluator = Evaluator(
        split,
        None if store is None else read_store(store),
        manifest,
        allow_stale,
        allow_absent,
        mapping,
        allow_changed_code,
    )
    chosen = find_runs(runs)
    selection = select_runs(chosen, words) if words else None
    if selection:
        chosen = selection.runs
        for note in selection.notes:
            print_warning(note)
    found: list[Evaluated] = []
    failures: dict[str, list[Run]] = {}
    seeds = {run: len(run.finished_seeds()) for run in chosen}
    with progress_bar(sum(seeds.values()), "head", f"scoring {split}") as progress:
        for run in chosen:
            done = progress.n
            try:
                found.append(evaluator.score(run, progress.update))
            except (ErcError, OSError) as error:
                failures.setdefault(failure_line(error), []).append(run)
                progress.update(seeds[run] - (progress.n - done))
    if as_json:
        print_json([_document(item) for item in found])
    elif found:
        _print_scores(found)
        for line in _remarks(found, split, selection):
            click.echo(line)
    unknown = [item.run for item in found if item.since.unknown and not item.since.changed]
    if unknown:
        print_warning(f"{_first_of(unknown)}: the code that trained it was not recorded: scored by today's")
    for problem, failed in failures.items():
        print_warning(f"{_first_of(failed)}: {problem}")
    return 1 if failures else 0


def _first_of(runs: Sequence[Run]) -> str:
    return runs[0].path.resolve().name + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")


def _document(item: Evaluated) -> dict[str, Any]:
    """metrics-SPLIT.json with the run folder's name, `experiment` first; where nothing is labelled, without scores.

    own: whether the scores are of the run's own corpus and by the code that trained it; folder: where they and the
    predictions lie
    """
    head = {"experiment": item.run.experiment.name, "run": item.run.path.resolve().name}
    place = {"own": item.own, "folder": str(item.folder)}
    if item.metrics:
        return head | item.metrics.model_dump(mode="json") | place
    counts = {"utterances": item.utterances, "unlabelled": item.unlabelled}
    bare = {"split": item.split, "seeds": list(item.seeds), "scored": item.scored.model_dump(mode="json")}
    return head | bare | counts | place


def _print_scores(found: Sequence[Evaluated]) -> None:
    """A table of the runs' own corpora, one for each score that judges, then of each other corpus, and of what other
    code scored; after each what was predicted without being scored."""
    from pipeline.runs.ranking import asked_beside

    groups: dict[tuple[str | None, ...], list[Evaluated]] = {}
    for item in found:
        changed = "changed" if item.since.changed else ""
        place = () if item.own else (item.scored.dataset, item.scored.rows, item.corpus, changed)
        groups.setdefault((item.run.features.manifest.headline, *place), []).append(item)
    for items in sorted(groups.values(), key=lambda items: not items[0].own):
        first, own = items[0], items[0].own
        metrics = [item.metrics for item in items if item.metrics]
        if metrics:
            if not own:
                click.echo(_heading(first))
            asked = asked_beside([item.run for item in items]) if own else 0
            click.echo(score_table(metrics, ranked=own, asked=asked))
        for line in dict.fromkeys(_unlabelled(item) for item in items):
            if line:
                click.echo(line)
        if not own:
            click.echo(f"kept apart from the runs' own scores: {first.folder}" + (", ..." if len(items) > 1 else ""))


def _heading(item: Evaluated) -> str:
    scored = item.scored
    if scored.other_code:
        where = f"on {scored.dataset} ({scored.path}), " if item.corpus else ""
        return f"{where}by other code than trained them ({scored.other_code} changed since):"
    if scored.dataset != item.run.features.manifest.dataset:
        return f"on {scored.dataset} ({scored.path}), which is not what the runs were trained on:"
    if scored.labels_map:
        return f"on {scored.dataset} ({scored.path}) with mapped labels:"
    return (
        f"on other {item.split} rows of {scored.dataset} ({scored.path}) than the runs recorded (the same `erc ablate`"
        " or `erc train` again keeps what is finished, and makes them the runs' own):"
    )


def _unlabelled(item: Evaluated) -> str:
    """How many utterances are predicted and not scored, and why; empty where all are scored."""
    left = item.scored.left_out
    bare = item.unlabelled - sum(left.values())
    parts = [f"{bare} of {item.utterances} utterances have no label"] if bare else []
    if left:
        names = ", ".join(f"{label} {number}" for label, number in left.items())
        parts.append(f"{sum(left.values())} of {item.utterances} have labels that the map leaves out ({names})")
    if not parts:
        return ""
    where = f"predictions-{item.split}.parquet of each seed"
    scores = "" if item.metrics else ", so there are no scores"
    return f"{item.split}: {' and '.join(parts)}: predicted, not scored{scores}: {where}"


def score_table(scored: Sequence[Metrics], ranked: bool = True, asked: int = 0) -> str:
    """A line a run, and those of the baselines that need no model; the score that the corpus is judged by leads. The
    best run comes first, and those of fewer seeds than `asked` last, but on test, whose scores rank nothing, and where
    they are not to be `ranked`: there runs stand in the order given.

    Where utterances lack a modality, how many they are and the score of the others stand in columns of their own.
    """
    from features.cards import HEADLINES
    from pipeline.runs.metrics_file import scores_shown
    from pipeline.terminal.tables import mean_and_deviation, percent_text, text_table

    split, names = scored[0].split, scores_shown(scored[0].headline)
    incomplete = any(_incomplete(metrics) for metrics in scored)
    header = [
        "experiment",
        f"{split} {HEADLINES[names[0]]} (%)",
        *(f"{HEADLINES[name]} (%)" for name in names[1:]),
        "NLL",
        "ECE (%)",
        "seeds",
        "utterances",
        "no input",
    ]
    header += [
        "incomplete",
        "F1 of the complete (%)" if "F1" in HEADLINES[names[0]] else "of the complete (%)",
    ] * incomplete
    rows = []
    if ranked and split != "test":
        scored = sorted(scored, key=lambda metrics: (len(metrics.seeds) < asked, -metrics.headline_score.mean))
    for metrics in scored:
        rows.append(
            [
                metrics.experiment,
                *(mean_and_deviation(score) if score else "" for score in map(metrics.score, names)),
                f"{nll.mean:.3f}" if (nll := metrics.negative_log_likelihood) else "",
                percent_text(ece.mean) if (ece := metrics.calibration_error) else "",
                str(len(metrics.seeds)),
                str(metrics.utterances),
                str(metrics.no_input),
            ]
        )
        if incomplete:
            complete = _complete(metrics)
            score = complete.judged_by(metrics.headline) if complete else None
            rows[-1] += [str(_incomplete(metrics)), mean_and_deviation(score) if score else ""]
    for name, baseline in sorted(scored[0].baselines.items(), key=lambda item: item[0] != "class-prior"):
        scores = ["" if value is None else percent_text(value) for value in map(baseline.score, names)]
        rest = [""] * (len(header) - len(names) - 5)
        rows.append([f"({name})", *scores, "", "", "", str(scored[0].utterances), *rest])
    return text_table(header, rows)


def _complete(metrics: Metrics) -> SliceScores | None:
    """The scores on the utterances that lack no modality."""
    return next((one for one in metrics.slices if (one.group, one.name) == ("input", "all there")), None)


def _incomplete(metrics: Metrics) -> int:
    """How many labelled utterances lack a modality."""
    complete = _complete(metrics)
    return metrics.utterances - metrics.unlabelled - (complete.utterances if complete else 0)


def _remarks(found: Sequence[Evaluated], split: str, selection: Selection | None) -> list[str]:
    """What was chosen and why; of test scores of several runs that were not chosen, what the protocol is."""
    if selection:
        return [f"{run.experiment.name}: {' and '.join(reasons)}" for run, reasons in selection.reasons.items()]
    scored = sum(item.own and item.metrics is not None for item in found)
    if split == "test" and scored > 1:
        return [
            f"{scored} runs were scored on test. The protocol is `{PROTOCOL}`: choose by dev, and read test for"
            " what was chosen alone."
        ]
    return []
