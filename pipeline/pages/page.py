"""Pages that need nothing else: one HTML file with its style, scripts and figures within, and no way out.

Every value from data passes through autoescape, or through `script_json` where a script reads it. The page's policy
lets its own scripts run and nothing load. The style is the report's, and some lines more.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from features.errors import ErcError
from features.files import write_bytes_whole


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """A page of this package's `template`. scripts: sources that the template puts in its `script` elements, verbatim.

    Raises ErcError for a script that would end its own element.
    """
    import jinja2

    from pipeline.pages import words

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("pipeline.explore", ""), jinja2.PackageLoader("pipeline.pages", "")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(words, name) for name in ("percent", "count")}
    environment.filters["short"] = short
    style = "".join(environment.get_template(name).render() for name in ("style.css.jinja", "explore.css.jinja"))
    for script in scripts:
        if "</script" in script.lower() or "<!--" in script:
            raise ErcError("a script of the page holds a tag that would end it: the page is not written")
    return environment.get_template(template).render(
        style=Markup(style),  # noqa: S704 (of this package)
        scripts=[Markup(script) for script in scripts],  # noqa: S704 (of this package and of plotly)
        policy=policy(scripts),
        plural=words.plural,
        **values,
    )


def short(value: float) -> str:
    """Three digits, or all of a whole part that has more: `0.681`, `12.3`, `1,024`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def policy(scripts: Sequence[str]) -> Markup:
    """The page's content security policy: these very scripts run; plotly.js sets styles and draws on data: and blob:
    pictures; nothing is loaded, sent or embedded."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return Markup(  # noqa: S704 (digests alone)
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data: blob:; base-uri 'none';"
        " form-action 'none'"
    )


def script_json(document: Any) -> Markup:
    """JSON for a `<script type="application/json">`: no character of it is markup."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (holds no markup)


def write_files(out: Path, files: Mapping[str, str | bytes]) -> None:
    """Write each file (a path below `out` -> its content) whole or not at all. Raises ErcError where that fails."""
    try:
        for name, content in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_whole(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ErcError(f"{out}: cannot be written ({reason}): give another folder with --out") from error
