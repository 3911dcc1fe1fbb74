"""`erc`: the group of all commands, and how errors and signals end a run."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from features.errors import ErcError, ErcWarning
from pipeline.terminal.lazy_group import LazyGroup

# name -> (module of pipeline.commands, one line of help). The order is that of the work.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Run every step on a generated corpus: sample, ingest, extract, ablate, evaluate, report."),
    "sample": ("sample", "Write a small generated corpus in MELD's layout."),
    "download": ("download", "Download a corpus, check its files and unpack them."),
    "ingest": ("ingest", "Make a manifest, the table of utterances, from MELD, IEMOCAP and others, or from any table."),
    "extract": ("extract", "Run frozen encoders once and keep one embedding per utterance."),
    "encoder": ("encoder", "Check an encoder of this project or of another package."),
    "store": ("store", "List, verify, clear up, import, export, pack or share stored embeddings."),
    "train": ("train", "Train one head on stored embeddings."),
    "ablate": ("ablate", "Train every experiment of a suite, over several seeds."),
    "heads": ("heads", "List what a head can be made of: readers, fusions, contexts, losses, samplers."),
    "schema": ("schema", "Print the JSON schema of suite files, for editors."),
    "evaluate": ("evaluate", "Score trained heads on a split."),
    "predict": ("predict", "Predict emotions from texts, clips, a recording or a manifest."),
    "app": ("app", "Serve a demo of a run in a browser: type turns, upload clips."),
    "export": ("export", "Write a run as a Hugging Face model folder, for others."),
    "compare": (
        "compare",
        "Compare two runs, or answer a suite's questions: intervals, p-values, changed predictions.",
    ),
    "track": ("track", "Send trained heads to TensorBoard, W&B or MLflow."),
    "report": ("report", "Write report.html, report.md and leaderboard.csv of trained heads."),
    "doctor": ("doctor", "Show what is installed, which weights are here, and what would run where."),
    "explore": ("explore", "Make pages that show stored embeddings, the corpus, or one clip."),
}

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


@click.command(cls=LazyGroup, members=COMMANDS, context_settings=_CONTEXT)
@click.version_option(package_name="erc-feature-store", prog_name="erc")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error. May stand anywhere.")
def erc() -> None:
    """Offline features and fast heads for emotion recognition in conversation.

    \b
    Example:
      erc ingest meld MELD.Raw --out data/manifest.parquet
      erc extract --modality text
      erc ablate meld-text --out runs
      erc report runs --out report
    """


def run(command: click.Command, arguments: Sequence[str], name: str) -> int:
    """Run a command and return its exit status. An ErcError is one line on stderr; --debug shows the traceback."""
    debug = "--debug" in arguments
    try:
        remaining = [argument for argument in arguments if argument != "--debug"]
        status = command.main(args=remaining, prog_name=name, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__  # click makes an Abort of every KeyboardInterrupt
        told = "".join(f": {note}" for note in getattr(cause, "__notes__", ()))
        click.echo(f"{name}: stopped{told}", err=True)
        return 128 + (cause.number if isinstance(cause, Stopped) else signal.SIGINT)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except ErcError as error:
        if debug:
            raise
        from features.extras import for_this_python

        click.echo(f"{name}: {for_this_python(str(error))}", err=True)
        return error.exit_status
    except Exception as error:
        if debug:
            raise
        message = " ".join(str(error).split()) or "no message"
        click.echo(
            f"{name}: unexpected {type(error).__name__}: {message} (--debug shows the traceback)",
            err=True,
        )
        return 1


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end, answered as Ctrl-C is: work in hand is finished or dropped cleanly."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)


def _end_cleanly_on_signals() -> None:
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # of SIGHUP and SIGBREAK, which is Windows', a system has one
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # under nohup SIGHUP is ignored
            signal.signal(number, _stop)


def _say_warnings_in_a_line() -> None:
    """Those of this package, without the place in the code that Python puts before a warning."""
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ErcWarning):
            click.echo(f"erc: {message}", err=True)
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def main() -> None:
    """The console command `erc`."""
    _say_warnings_in_a_line()
    _end_cleanly_on_signals()
    # Threads of torch that wait for each other sleep instead of spinning: where something else runs on the same cores,
    # spinning made encoding four times slower (docs/LOG.md). It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What Apple's GPU cannot compute is computed on the CPU: otherwise it is an error. Also before torch is loaded.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    sys.exit(run(erc, sys.argv[1:], "erc"))


def extract_main() -> None:
    """The console command `extract`: the same as `erc extract`."""
    if "_EXTRACT_COMPLETE" in os.environ:  # a shell asks what may be typed here: click answers and exits
        command = erc.get_command(click.Context(erc), "extract")
        sys.exit(command.main(prog_name="extract") if command else 1)
    sys.argv.insert(1, "extract")
    main()
