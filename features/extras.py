"""How an extra is installed: by the names of its packages, which holds for a clone and an installed wheel alike. This
package itself is on no index.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "erc-feature-store"
_PIP = re.compile(r"(?<!-m )\bpip (?=(?:un)?install )")
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)")


def install_extra(extra: str) -> str:
    """The command that installs an extra of pyproject.toml, as this installation declares it."""
    requirements = (declared_requirements() or {}).get(extra)
    if not requirements:  # run from a folder that was never installed, or from an installation that is older than it
        return f"pip install --editable '.[{extra}]' in the project's folder"
    return f"pip install {' '.join(map(quoted, requirements))}"


def quoted(requirement: Requirement) -> str:
    """As a shell takes it, with the extras that it asks of its package."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"'{requirement.name}{extras}{requirement.specifier}'"


def for_this_python(hint: str) -> str:
    """The hint with `pip` as what a shell finds, where that installs for this Python. Otherwise (an environment that is
    not activated) this Python is named: `/path/to/python -m pip install ...`."""
    found = shutil.which("pip")
    if found is not None and Path(found).parent.resolve() == Path(sys.executable).parent.resolve():
        return hint
    python = shlex.quote(sys.executable)
    return _PIP.sub(lambda _: f"{python} -m pip ", hint)


def declared_requirements(package: str = PACKAGE) -> dict[str, list[Requirement]] | None:
    """Extra ("" where it is always needed) -> requirements, as the installed package declares them; None where it is
    not installed."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return None
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        requirement = Requirement(line)
        extras = _EXTRA.findall(str(requirement.marker))
        for extra in extras or [""]:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found.setdefault(extra, []).append(requirement)
    return found
