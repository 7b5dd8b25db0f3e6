"""Every kind of page as a browser shows it: headless Chromium over its DevTools protocol, at a desk's and a telephone's
width. One browser and one tab for all of them.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import fixtures
import pytest
import websocket
from click.testing import CliRunner

from bench.cli import cli

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PROGRAM is None, reason=f"no Chromium on PATH ({', '.join(NAMES)}): pages are not looked at"),
]


class Browser:
    """One tab. Collects what the page logs, throws and fetches."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=60)
        self._ids = itertools.count(1)
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        wanted = next(self._ids)
        self._socket.send(json.dumps({"id": wanted, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            self._note(message)
            if message.get("id") == wanted:
                assert "error" not in message, message
                return dict(message["result"])

    def _note(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and parameters["type"] == "error"
        ):
            self.complaints.append(json.dumps(parameters)[:500])
        if method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])
        if method == "Network.requestWillBeSent":
            self.fetched.append(parameters["request"]["url"][:200])

    def open(self, page: Path, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + 30
        while self.js("location.protocol + document.readyState") != "file:complete":
            assert time.monotonic() < deadline, f"{page} did not load"
            time.sleep(0.05)

    def close(self) -> None:
        self._socket.close()

    def js(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        self.js(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    profile = tmp_path_factory.mktemp("profile")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
               "--disable-dev-shm-usage", "--disable-component-update", "--remote-debugging-port=0",
               "--remote-debugging-address=127.0.0.1", "--remote-allow-origins=*",
               f"--user-data-dir={profile}"]  # fmt: skip
    with (profile / "stderr.txt").open("w") as log:
        process = subprocess.Popen([PROGRAM, *options, "about:blank"], stderr=log, stdout=log)
        try:
            tab = Browser(_tab(profile, process))
            yield tab
            tab.close()
        finally:
            process.terminate()
            process.wait(20)


def _tab(profile: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    port_file = profile / "DevToolsActivePort"
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists() and "\n" in (text := port_file.read_text()):
            with urllib.request.urlopen(f"http://127.0.0.1:{text.splitlines()[0]}/json", timeout=10) as answer:
                return str(next(tab for tab in json.load(answer) if tab["type"] == "page")["webSocketDebuggerUrl"])
        time.sleep(0.1)
    pytest.fail(f"Chromium did not start: {(profile / 'stderr.txt').read_text()[-2000:]}")


JOB = Path(__file__).parents[2] / "costmodel" / "examples" / "flink-job.yaml"


@dataclass(frozen=True)
class Page:
    """A page as its command writes it, and the least that must be on it."""

    path: Path
    figures: int
    folded: int


def _claims(results: Path, out: Path) -> Page:
    names = ("kraft", "managed-flink", "over-partitioning-inflates-storage", "outage-8s")
    _run("claims", str(results), *(word for name in names for word in ("--claim", name)), "--report", str(out))
    return Page(out / "report.html", 0, 2)


def _compared(results: Path, out: Path) -> Page:
    arms = [f"{results}:topic.partitions={partitions}" for partitions in (6, 96)]
    _run("compare", *arms, "--report", str(out), code=1)  # 96 partitions take more
    return Page(out / "report.html", 0, 0)


def _cost(results: Path, out: Path) -> Page:
    platforms = (word for name in ("self-ec2", "msk-standard", "event-hubs") for word in ("--platform", name))
    _run("cost", str(JOB), *platforms, "--draws", "20", "--report", str(out))
    return Page(out / "report.html", 3, 3)


def _run(*words: str, code: int = 0) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == code, done.output


MADE = {"claim book": _claims, "comparison": _compared, "cost": _cost}
for module in ("claims", "comparing", "money"):
    import_module(f"bench.cli.{module}")


@pytest.fixture(scope="module")
def pages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    results = fixtures.recorded(tmp_path_factory.mktemp("recorded") / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.book.RECORDED", results)  # pages must not follow every new recording
        made = {name: make(results, tmp_path_factory.mktemp("page")) for name, make in MADE.items()}
    return {"scenario": Page(folder / "report.html", 5, 11)} | made


@pytest.fixture(params=("scenario", *MADE))
def page(request: pytest.FixtureRequest, pages: dict[str, Page]) -> Page:
    return pages[request.param]


@pytest.fixture(params=WIDTHS, ids=lambda width: f"{width}px")
def width(request: pytest.FixtureRequest, browser: Browser, page: Page) -> int:
    browser.complaints.clear()
    browser.fetched.clear()
    browser.open(page.path, request.param)
    return int(request.param)


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_nothing_complains_nothing_is_fetched_and_nothing_scrolls_sideways(
    browser: Browser, page: Page, width: int
) -> None:
    """A reader on a telephone or without network must get the whole page, its folded parts included."""
    assert browser.js(OVERFLOW) <= 0
    browser.js("document.querySelectorAll('details').forEach(function (d) { d.open = true; })")
    assert browser.js("document.querySelectorAll('details[open]').length") >= page.folded
    assert browser.js(OVERFLOW) <= 0
    assert browser.complaints == []
    assert [url for url in browser.fetched if not url.startswith(("file:", "data:"))] == []


def test_every_figure_is_visible_and_named(browser: Browser, page: Page, width: int) -> None:
    """A figure that is 0 pixels wide or hidden at one width is a hole in the argument."""
    sizes = browser.js("""Array.from(document.querySelectorAll('figure.main')).map(function (figure) {
        var seen = Array.from(figure.querySelectorAll('svg')).map(svg => svg.getBoundingClientRect())
            .filter(function (box) { return box.width > 0; });
        return [seen.length, seen.length && seen[0].width, seen.length && seen[0].height,
                seen.length && seen[0].right, figure.querySelector('figcaption').textContent]; })""")
    assert len(sizes) >= page.figures
    for seen, wide, high, right, title in sizes:
        assert seen == 1, title
        assert wide > 0.85 * min(width, 1024) - 40, title
        assert high > 90, title
        assert right <= width, title


def test_labels_in_figures_do_not_overlap_and_can_be_read(browser: Browser, page: Page, width: int) -> None:
    """Two labels on top of each other are no label; below 9 pixels they are decoration."""
    found = browser.js("""Array.from(document.querySelectorAll('figure.main svg')).filter(function (svg) {
        return svg.getBoundingClientRect().width > 0; }).map(function (svg) {
            var texts = Array.from(svg.querySelectorAll('text')).filter(function (t) { return t.textContent.trim(); });
            return texts.map(function (t) { var b = t.getBoundingClientRect();
                return [t.textContent.trim(), b.left, b.top, b.right, b.bottom,
                        getComputedStyle(t).fontSize,
                        svg.getBoundingClientRect().width / svg.viewBox.baseVal.width]; }); })""")
    assert sum(map(len, found)) >= 10 * page.figures
    for texts in found:
        for text, *_, size, scale in texts:
            assert float(size.removesuffix("px")) * scale >= 9, text
        for (a, al, at, ar, ab, *_), (b, bl, bt, br, bb, *_) in itertools.combinations(texts, 2):
            across, down = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
            assert across < 2 or down < 4, f"{a!r} and {b!r} overlap by {across:.0f} x {down:.0f} px"


SORTED = """Array.from(document.querySelectorAll('table')).filter(t => t.tBodies[0].rows.length > 1).flatMap(
    function (table) { return Array.from(table.tHead.rows[0].cells).map(function (th, at) {
        function shown() { return Array.from(table.tBodies[0].rows).map(function (row) { var cell = row.cells[at];
            return [cell.textContent.trim(), cell.getAttribute('data-v')]; }); }
        th.querySelector('button').click(); var up = [th.getAttribute('aria-sort'), shown()];
        th.querySelector('button').click(); var down = [th.getAttribute('aria-sort'), shown()];
        return [table.id + ': ' + th.textContent, th.classList.contains('num'), up, down]; }); })"""


def test_a_click_on_a_heading_sorts_by_number_and_a_second_turns_it_round(browser: Browser, width: int) -> None:
    """Sorted as text, 9 comes after 10 and the worst run hides; a value that is missing must not lead."""
    found = browser.js(SORTED)
    assert found
    for name, numeric, (first, up), (second, down) in found:
        assert (first, second) == ("ascending", "descending"), name
        assert sorted(text for text, _ in up) == sorted(text for text, _ in down), name
        if not numeric or any(value is None for _, value in up):  # the tables of single runs sort by what they show
            continue
        rising, falling = ([float(value) for _, value in rows if value] for rows in (up, down))
        assert rising == sorted(rising) and falling == sorted(rising, reverse=True), name
        for rows in (up, down):
            known = [bool(value) for _, value in rows]
            assert known == sorted(known, reverse=True), name


def test_the_first_screen_answers_the_four_questions(browser: Browser, folder: Path) -> None:
    """What to do, how sure, what it costs, what it depends on: before any scrolling."""
    browser.open(folder / "report.html", 1280, 900)
    found = browser.js("""Array.from(document.querySelectorAll('.facts dt')).map(function (dt) {
        var dd = dt.nextElementSibling;
        return [dt.textContent, dd.textContent, dd.getBoundingClientRect().bottom]; })""")
    answers = {question: (text, bottom) for question, text, bottom in found}
    for question, text in {
        "What to do": "Choose partitions 6",
        "How sure": "95 % interval",
        "What it costs": "+$4,300",
        "What it depends on": "Assumed: stream 100 MB/s",
    }.items():
        assert text in answers[question][0]
        assert 0 < answers[question][1] <= 900, f"{question!r} ends at {answers[question][1]}"
    assert browser.js("document.querySelector('.verdict').getBoundingClientRect().bottom") < answers["What to do"][1]
