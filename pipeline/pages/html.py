"""Pages that need nothing else: one HTML file with its style, scripts and figures within, and no way out.

Every value from data passes through autoescape, or through `script_json` where a script reads it, and without paths of
this machine (`paths.shareable`), unless the filter `verbatim` marks it as what was said. The page's policy
lets its own scripts run and nothing load.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from features.errors import ErcError
from pipeline.pages import words
from pipeline.pages.paths import Verbatim, shareable, shareable_command

_STYLE = "style.css.jinja"  # of every page
_FILTERS = (
    *("percent", "score", "points", "interval", "point_interval", "p_value", "short"),
    *("count", "magnitude", "size", "seconds", "rate", "reasons", "share"),
)


def render(
    package: str,
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    allow: Sequence[str] = (),
    **values: Any,
) -> str:
    """A page of a package's `template`, which puts `policy`, `style` and `scripts` in their places.

    styles:  templates of CSS, behind the style that all pages share
    scripts: sources that the template puts in its `script` elements, verbatim
    allow:   more directives of the page's policy, such as "img-src data:"

    Raises ErcError for a script that would end its own element.
    """
    for script in scripts:
        if "</script" in script.lower() or "<!--" in script:
            raise ErcError("a script of the page holds a tag that would end it: the page is not written")
    return (
        _environment(package)
        .get_template(template)
        .render(
            style=Markup(source(package, _STYLE, *styles)),  # noqa: S704 (of these packages)
            scripts=[Markup(script) for script in scripts],  # noqa: S704 (of these packages and of plotly)
            policy=policy(scripts, allow),
            plural=words.plural,
            **values,
        )
    )


def source(package: str, *names: str) -> str:
    """Templates without values, styles or scripts, one after the other."""
    environment = _environment(package)
    return "".join(environment.get_template(name).render() for name in names)


def policy(scripts: Sequence[str], allow: Sequence[str] = ()) -> Markup:
    """A page's content security policy: these very scripts run, and nothing is loaded, sent or embedded but what
    `allow` lists."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    own = ["script-src " + " ".join(f"'sha256-{digest}'" for digest in digests)] if digests else []
    directives = ["default-src 'none'", "style-src 'unsafe-inline'", *own, *allow, "base-uri 'none'"]
    return Markup("; ".join([*directives, "form-action 'none'"]))  # noqa: S704 (digests, and what our pages allow)


def script_json(document: Any) -> Markup:
    """JSON for a `<script type="application/json">`: no character of it is markup."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 (holds no markup)


def _shared(value: Any) -> Any:
    """What is put into a page: markup of ours and the like as it is, texts without the paths of this machine."""
    return shareable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment(package: str) -> jinja2.Environment:
    """The templates of a package, and those that all pages share; each is compiled once a process."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, ""), jinja2.PackageLoader("pipeline.pages", "")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shared,
    )
    environment.filters |= {name: getattr(words, name) for name in _FILTERS}
    environment.filters |= {"verbatim": Verbatim, "command": shareable_command}
    return environment
