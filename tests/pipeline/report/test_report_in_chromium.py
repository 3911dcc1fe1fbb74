"""The report in a real browser: no error, nothing loaded, nothing too wide, sorting and filtering work.

Needs Chromium and its driver (Debian: `apt-get install chromium chromium-driver`); skips where they are not. Set
ERC_SCREENSHOTS to a folder, and the pages are left there as PNG and PDF files, to be looked at.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_factory import HOG, LOGMEL, SENTENCE, add_suite, add_test_read
from talk_factory import make_talk, make_talk_run

from pipeline.report.write import write_report

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver here: apt-get install chromium chromium-driver"
)
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)
A4_LANDSCAPE = 1032  # pixels between the page's margins
ATTACKS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "Long" * 90)
# Many settings that the other runs do not have: a wide table.
CONTEXT = {"name": "dialogue-rnn"} | {f"setting_of_{name}_dropout": 0.25 for name in "abcdefghijklmnop"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of four runs with texts, one of them hostile."""
    folder = tmp_path_factory.mktemp("report")
    talk = make_talk(folder / "talk.parquet", dialogues=30, texts=ATTACKS)
    runs = folder / "runs"
    all_three = (SENTENCE, LOGMEL, HOG)
    make_talk_run(runs, "text", talk, skill=0.4, features=(SENTENCE,), config={"context": CONTEXT})
    make_talk_run(runs, "text+audio", talk, skill=0.5, features=(SENTENCE, LOGMEL))
    make_talk_run(runs, "text+audio+visual", talk, skill=0.6, features=all_three)
    make_talk_run(runs, "<img src=x onerror=alert(2)>", talk, skill=0.3, features=(HOG,), folder="hostile")
    add_suite(runs, [("Does sound help?", "text+audio", "text")])
    add_test_read(runs, "text", "text")
    write_report(runs, folder / "out")
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def show(browser: Any, page: Path, width: int = 1280, scheme: str = "light", medium: str = "screen") -> None:
    """Load the page afresh in a window of that width, in pixels."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": [feature]})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


def keep(browser: Any, name: str) -> bytes:
    """A picture of the whole page, also kept where ERC_SCREENSHOTS says."""
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    return _kept(f"{name}.png", base64.b64decode(shot["data"]))


def _kept(name: str, content: bytes) -> bytes:
    folder = os.environ.get("ERC_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(content)
    return content


def value(browser: Any, script: str) -> Any:
    return browser.execute_script(f"return {script}")


def requests(browser: Any) -> list[str]:
    """What was asked for since the page was shown, other than by the browser for itself."""
    import json

    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [item["request"]["url"] for item in sent]


def test_the_page_runs_without_an_error_and_fetches_nothing(browser: Any, report: Path) -> None:
    show(browser, report)
    assert value(browser, "document.readyState") == "complete"
    assert browser.get_log("browser") == []
    assert requests(browser) == [report.as_uri()]
    assert value(browser, "document.querySelectorAll('figure svg').length") > 6
    assert value(browser, "performance.getEntriesByType('resource').length") == 0


def test_a_script_that_is_not_the_pages_own_is_refused_and_logged(browser: Any, report: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(report.read_text(encoding="utf-8").replace("</main>", "</main><script>var alien=1</script>"))
    show(browser, other)
    assert value(browser, "typeof alien") == "undefined"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(browser: Any, report: Path, width: int, scheme: str) -> None:
    show(browser, report, width, scheme)
    assert value(browser, "innerWidth") == width
    assert value(browser, "document.documentElement.scrollWidth") <= width
    wide = """[...document.querySelectorAll('main *')].filter(function (one) {
        if (one.closest('.scroll, .drawing, .hard, .hidden')) return false;
        return one.getBoundingClientRect().right > innerWidth + 0.5;
    }).map(function (one) { return one.outerHTML.slice(0, 80); })"""
    assert value(browser, wide) == []
    keep(browser, f"report-{width}-{scheme}")


def test_a_columns_title_sorts_by_it(browser: Any, report: Path) -> None:
    show(browser, report)
    names = "[...document.querySelectorAll('.board tbody[data-rows] th')].map(th => th.textContent.trim())"
    assert value(browser, names)[0] == "text+audio+visual"
    head, column = "document.querySelector('.board [aria-sort]')", "cells[1].getAttribute('data-value')"
    scores = f"[...document.querySelectorAll('.board tbody[data-rows] tr')].map(row => Number(row.{column}))"
    before = value(browser, scores)
    assert before == sorted(before, reverse=True)
    assert len(set(before)) == 4
    browser.execute_script(f"{head}.querySelector('button').click()")
    assert value(browser, scores) == sorted(before)
    assert value(browser, f"{head}.getAttribute('aria-sort')") == "ascending"
    browser.execute_script("document.querySelector('.board th[data-column=text] button').click()")
    assert value(browser, names) == sorted(value(browser, names), key=str.casefold)
    assert value(browser, f"{head}.textContent.trim()") == "Experiment"


def test_the_hardest_utterances_can_be_filtered(browser: Any, report: Path) -> None:
    show(browser, report)
    shown = "[...document.querySelectorAll('.hard > li')].filter(one => one.offsetParent !== null)"
    count = "document.querySelector('[data-count]').textContent"
    assert value(browser, f"{shown}.length") == 100
    assert value(browser, count) == "100 of 100 shown"

    def choose(by: str, chosen: str) -> None:
        control = f"document.querySelector('.filters [data-by={by}]')"
        browser.execute_script(
            f"{control}.value = arguments[0]; {control}.dispatchEvent(new Event('input', {{bubbles: true}}))", chosen
        )

    everything = value(browser, "[...document.querySelectorAll('.hard > li')].map(one => ({...one.dataset}))")
    for by in ("gold", "predicted", "speaker"):
        chosen = everything[0][by]
        choose(by, chosen)
        expected = [one[by] for one in everything if one[by] == chosen]
        assert value(browser, f"{shown}.map(one => one.dataset.{by})") == expected
        assert value(browser, count) == f"{len(expected)} of 100 shown"
        choose(by, "")
    choose("gold", everything[0]["gold"])
    choose("speaker", everything[0]["speaker"])
    both = [one for one in everything if all(one[by] == everything[0][by] for by in ("gold", "speaker"))]
    assert 0 < value(browser, f"{shown}.length") == len(both) < 100
    browser.execute_script("document.querySelector('[data-clear]').click()")
    assert value(browser, f"{shown}.length") == 100
    text = value(browser, "document.querySelectorAll('.hard [data-text]')[3].textContent")
    choose("text", text.upper())
    assert value(browser, f"{shown}.map(one => one.querySelector('[data-text]').textContent)") == [text]
    choose("text", "no such words")
    assert value(browser, f"{shown}.length") == 0
    assert browser.get_log("browser") == []


def test_what_was_said_is_shown_as_text(browser: Any, report: Path) -> None:
    show(browser, report)
    assert value(browser, "document.images.length") == 0
    assert value(browser, "document.scripts.length") == 1
    text = value(browser, "document.querySelector('main').textContent")
    assert "<img src=x onerror=alert(2)>" in text
    said = value(browser, "[...document.querySelectorAll('.said p')].map(one => one.textContent)")
    for attack in ATTACKS[:2]:
        assert any(attack in one for one in said)
    assert browser.get_log("browser") == []


def test_without_script_the_list_is_whole_and_has_no_filter(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, report)
        picture = keep(browser, "report-without-script")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert picture.startswith(b"\x89PNG")
    assert value(browser, "document.querySelector('.filters').offsetParent === null")
    assert value(browser, "[...document.querySelectorAll('.hard > li')].filter(one => one.offsetParent).length") == 100


def test_dark_and_print_have_their_own_colours(browser: Any, report: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    bar = "getComputedStyle(document.querySelector('figure svg [style*=\"fill: var(--accent)\"]')).fill"
    seen = {}
    for name, scheme, medium in (("light", "light", "screen"), ("dark", "dark", "screen"), ("print", "dark", "print")):
        show(browser, report, scheme=scheme, medium=medium)
        seen[name] = (value(browser, background), value(browser, bar))
    assert seen["light"][0] == seen["print"][0] == "rgb(255, 255, 255)"
    assert seen["dark"][0] == "rgb(18, 22, 27)"
    assert seen["dark"][1] != seen["light"][1] == seen["print"][1]


def test_the_page_prints(browser: Any, report: Path) -> None:
    show(browser, report, A4_LANDSCAPE, "dark", "print")
    assert value(browser, "document.documentElement.scrollWidth") <= A4_LANDSCAPE  # else all is printed smaller
    assert value(browser, "document.querySelector('details:not([open]) td').getBoundingClientRect().height") > 0
    assert value(browser, "getComputedStyle(document.querySelector('.filters')).display") == "none"
    assert value(browser, "[...document.querySelectorAll('.hard > li')].filter(one => one.offsetParent).length") == 20
    options = {"preferCSSPageSize": True, "printBackground": True}
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
    assert _kept("report.pdf", pdf).startswith(b"%PDF")
