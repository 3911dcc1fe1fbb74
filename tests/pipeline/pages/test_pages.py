"""What all pages are made by: the policy names their own scripts, scripts hold no markup, files are whole or absent."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from features.errors import ErcError
from pipeline.pages.files import write_files
from pipeline.pages.html import policy, render, script_json, source

START, END = "default-src 'none'; style-src 'unsafe-inline'; ", "base-uri 'none'; form-action 'none'"


def test_a_policy_lets_the_pages_own_scripts_run_and_what_is_allowed_be_shown() -> None:
    scripts = ["let a = 1", "let b = 2"]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    own = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy(scripts, ["img-src data:"]) == f"{START}script-src {own}; img-src data:; {END}"
    assert policy([]) == START + END


def test_a_page_has_the_shared_style_before_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_pages"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "page.jinja").write_text("{{ style }}|{{ policy }}|{{ scripts[0] }}|{{ text }}|{{ number | count }}")
    (package / "own.css.jinja").write_text("p{color:red}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    page = render("some_pages", "page.jinja", styles=["own.css.jinja"], scripts=["1 < 2"], text="<b>", number=1234)
    style, found, script, text, number = page.split("|")
    assert style == source("some_pages", "style.css.jinja") + "p{color:red}"
    assert style.startswith(":root{")
    assert found == policy(["1 < 2"])
    assert (script, text, number) == ("1 < 2", "&lt;b&gt;", "1,234")


def test_json_for_a_script_holds_no_markup() -> None:
    text = str(script_json({"a": "</script><!-- & \u2028"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028"}


@pytest.mark.parametrize("script", ["let a = '</SCRIPT>'", "let a = '<!--'"])
def test_a_script_that_would_end_itself_is_refused(script: str) -> None:
    with pytest.raises(ErcError, match="holds a tag that would end it"):
        render("pipeline.explore", "embeddings.html.jinja", scripts=[script])


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(ErcError, match=r"cannot be written .*: give another folder with --out"):
        write_files(tmp_path, {"figures/a.png": b""})
