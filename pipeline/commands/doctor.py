"""`erc doctor`: what is installed, which weights are here, what would run where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from features.extras import for_this_python
from pipeline.terminal.options import json_option, store_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding

_COLOURS = {"ok": "green", "note": "yellow", "absent": "blue", "failed": "red"}


@click.command()
@store_option
@json_option
def command(store: Path, as_json: bool) -> int:
    """Show what is installed, which weights are here, and what would run where.

    The command looks at Python and its packages, the extras (with the command that installs each), cores, memory and
    disk, devices and their speed in each dtype, FFmpeg's codecs, fonts, and the weights of every encoder. It downloads
    nothing.

    Exit status: 0; 1 if extraction and training cannot run. The lines that begin with `failed` say why.

    \b
    Example:
      erc doctor
      erc doctor --json
    """
    from pipeline.doctor.libraries import python_and_packages
    from pipeline.doctor.media import fonts, media

    findings = list(python_and_packages())
    broken = any(finding.state == "failed" for finding in findings)
    if not broken:  # what follows imports the packages
        from pipeline.doctor.machine import machine
        from pipeline.doctor.weights import weights

        findings += [*machine(store), *media(), fonts(), *weights()]
    failed = [finding for finding in findings if finding.state == "failed"]
    if as_json:
        from dataclasses import asdict

        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=1)
    else:
        for finding in _shown(findings):
            _print(finding)
        if broken:
            click.echo("The rest was not looked at: it needs these packages.")
        click.echo(f"{len(failed)} failed" if failed else "Extraction and training can run on this machine.")
    return 1 if failed else 0


def _shown(findings: list[Finding]) -> list[Finding]:
    """The findings, with the packages that are as they should be in one."""
    from dataclasses import replace

    fit = [finding for finding in findings if finding.group == "packages" and finding.state == "ok"]
    if not fit:
        return findings
    told = ", ".join(f"{finding.name} {finding.text}" for finding in fit)
    together = replace(fit[0], name=f"{len(fit)} as required", text=told)
    return [together if finding is fit[0] else finding for finding in findings if finding not in fit[1:]]


def _print(finding: Finding) -> None:
    state = click.style(f"{finding.state:<7}", fg=_COLOURS[finding.state])
    head = f"{finding.group:<9} {finding.name:<25} "
    indent = " " * (8 + len(head))
    click.echo(f"{state} {click.wrap_text(head + finding.text, 112, subsequent_indent=indent)}")
    if finding.mend and finding.mend.startswith("pip "):  # one line, however long: what is copied must run
        click.echo(f"{indent}-> {for_this_python(finding.mend)}")
    elif finding.mend:
        click.echo(click.wrap_text(f"-> {finding.mend}", 120, indent, indent + "   "))
