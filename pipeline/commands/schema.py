"""`erc schema`: the JSON schema of suite files."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the JSON schema of suite files, for editors that complete and check YAML.

    Write the schema beside your suites, and name it in the first line of each suite:

    \b
      # yaml-language-server: $schema=suite.schema.json

    VS Code's YAML extension, the editors of JetBrains and every editor with yaml-language-server read that line. The
    suites that ship have it.

    \b
    Example:
      erc schema > suite.schema.json
    """
    from heads.config.json_schema import suite_schema
    from pipeline.terminal.output import print_json

    print_json(suite_schema(), indent=1)
