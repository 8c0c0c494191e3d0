"""The pages in a browser: what a reader does, and that nothing leaves the machine."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actbench.info import MethodInfo
from actbench.leaderboard.publish import publish
from actbench.records.verification import digest
from tests.leaderboard.made_up import RECORDS, mark, record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

BOARD = "w8a2-8-inference-closed.html"

WATCH = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
function tell(seen) {
  const urls = performance.getEntriesByType("resource").map((entry) => entry.name);
  Object.assign(seen, { errors, requests: urls.filter((url) => !url.startsWith("file:")) });
  document.body.textContent = "SEEN" + JSON.stringify(seen) + "END";
}
</script>
"""

READ_A_BOARD = """
<script>
addEventListener("load", () => setTimeout(() => {
  const seen = {}, tabs = [...document.querySelectorAll(".tab")];
  const open = () => tabs.filter((tab) => tab.checkVisibility()).map((tab) => tab.id);
  seen.first = open();
  location.hash = "#ceiling-2";
  setTimeout(() => {
    seen.second = open();
    const table = document.querySelector("#ceiling-2 .rows");
    const shown = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const names = () => shown().map((row) => row.cells[1].textContent.split(" ")[0]);
    const button = [...table.querySelectorAll("th button")].find((one) => one.textContent.startsWith("quality"));
    button.click();
    seen.best = names();
    button.click();
    seen.worst = names();
    const form = document.querySelector("form");
    form.elements.method.value = "wavelet";
    form.elements.method.dispatchEvent(new Event("change", { bubbles: true }));
    seen.filtered = names();
    seen.faded = [...document.querySelectorAll("#ceiling-2 svg .faded")].map((group) => group.dataset.method);
    const box = [...form.querySelectorAll("input")].find((one) => one.parentElement.textContent.includes("bits/value"));
    const isShown = (cell) => getComputedStyle(cell).display !== "none";
    const hidden = () => [...table.rows].every((row) => !isShown(row.cells[box.value]));
    seen.hidden = hidden();
    box.click();
    seen.chosen = !hidden();
    seen.columns = [...table.tHead.rows[0].cells].filter(isShown).length;
    seen.pictures = document.querySelectorAll("svg[role=img]").length;
    tell(seen);
  }, 200);
}, 200));
</script>
"""

CHOOSE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const rows = () => [...document.querySelectorAll("#found tbody tr")];
  const names = () => rows().map((row) => row.cells[0].textContent + " " + row.cells[1].textContent);
  const seen = { sent: names() }, form = document.getElementById("choose");
  form.elements.memory.value = "";
  form.elements.memory.dispatchEvent(new Event("input", { bubbles: true }));
  seen.all = names();
  form.elements.loss.value = "5.2";
  form.elements.loss.dispatchEvent(new Event("input", { bubbles: true }));
  seen.good = names();
  seen.address = location.hash;
  form.elements.widths.value = "fixed";
  form.elements.widths.dispatchEvent(new Event("input", { bubbles: true }));
  seen.fixed = names();
  seen.images = document.images.length;
  tell(seen);
}, 200));
</script>
"""


def seen_on(page: Path, script: str, address: str = "", width: int = 1440) -> dict[str, Any]:
    """What a script that is put on a page has seen."""
    page.write_text(page.read_text().replace("</head>", WATCH + script + "</head>"))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    assert CHROMIUM is not None
    command = [CHROMIUM, *options, f"--window-size={width},900", page.as_uri() + address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"SEEN(\{.*\})END", done.stdout)
    assert found, done.stderr
    seen: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert seen.pop("errors") == []
    assert seen.pop("requests") == []
    return seen


@needs_chromium
def test_a_reader_opens_a_ceiling_sorts_filters_and_chooses_columns(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    seen = seen_on(tmp_path / "boards" / "toy" / BOARD, READ_A_BOARD)
    assert seen["first"] == ["ceiling-1"]
    assert seen["second"] == ["ceiling-2"]
    assert seen["best"] == ["none", "quantize", "wavelet", "dropping"]
    assert seen["worst"] == ["dropping", "wavelet", "quantize", "none"]
    assert seen["filtered"] == ["wavelet"]
    assert sorted(seen["faded"]) == ["dropping", "quantize"], "the picture follows the filter"
    assert seen["hidden"]
    assert seen["chosen"]
    assert seen["columns"] == 10
    assert seen["pictures"] == 3, "two ceilings that are held, and quality against the peak"


@needs_chromium
def test_the_chooser_finds_what_fits_and_keeps_it_in_the_address(tmp_path: Path) -> None:
    hostile = record("evil", "4x", 80.0, 200, options={"name": "<img src=x>"})
    other = record("evil", "4x", 80.0, 200, options={"name": "</script>"})
    publish([*RECORDS, hostile, other], tmp_path, "quantize")
    seen = seen_on(tmp_path / "choose.html", CHOOSE, "#workload=toy&counted=largest&memory=0.015")
    assert seen["sent"] == ["dropping 8x"], "120 bits; the others of this ceiling have 128"
    assert seen["all"][:2] == ["wavelet 4x", "quantize 4x"], "the least loss first"
    assert seen["good"] == ["wavelet 4x", "quantize 4x", "quantize 8x"]
    assert "loss=5.2" in seen["address"]
    assert seen["fixed"] == []
    assert seen["images"] == 0


def test_a_first_view_is_light(tmp_path: Path) -> None:
    """Less than 300 KB, with all that it loads."""
    publish(RECORDS, tmp_path, "quantize")
    board = tmp_path / "boards" / "toy" / BOARD
    shared = sum((tmp_path / name).stat().st_size for name in ("style.css", "board.js", "choose.js"))
    assert max(path.stat().st_size for path in (board, tmp_path / "index.html")) + shared < 300_000
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', board.read_text())
    assert sorted(loaded) == ["../../board.js", "../../style.css"]


def test_without_a_script_everything_is_there(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    text = (tmp_path / "boards" / "toy" / BOARD).read_text()
    assert "data-open" not in text, "parts are hidden by the script alone"
    assert all(f'id="ceiling-{number}"' in text for number in (1, 2, 3))
    assert 'class="skip" href="#main"' in text


def test_no_result_gets_no_tick_and_older_rows_say_how_to_renew_them(tmp_path: Path) -> None:
    marks = {digest(one): mark(one) for one in RECORDS}
    publish(RECORDS, tmp_path, "quantize", {"wavelet": MethodInfo("wavelet", "W", "a.b:C", "2")}, marks)
    text = (tmp_path / "boards" / "toy" / BOARD).read_text()
    rows = re.findall(r'<tr data-method="(\w+)" data-status="(\w+)"', text)
    assert ("wavelet", "unsupported") in rows
    (failed,) = re.findall(r'<tr data-method="wavelet" data-status="unsupported".*?</tr>', text, re.DOTALL)
    assert "✓" not in failed
    assert "repeated 2025-02-03" in failed
    assert "older version" in failed
    assert "actbench run --workload toy --methods wavelet --ceilings 4x" in text


def test_a_record_page_has_its_citation_both_machines_and_short_digests(tmp_path: Path) -> None:
    where = {"versions": {"torch": "1.9"}, "machine": {"cpu": "ours"}, "revision": "0123456789" * 4}
    one = record("wavelet", environment=where)
    publish([one], tmp_path, "quantize", verifications={digest(one): mark(one)})
    text = (tmp_path / "boards" / "toy" / "records" / f"{one.key}-1.html").read_text()
    assert f"@misc{{actbench-{one.key}-1," in text
    assert digest(one) in text
    machines = re.findall(r"<tr><th scope=\"row\">(cpu|torch)</th><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>", text)
    assert machines == [("torch", "1.9", "2"), ("cpu", "ours", "another")]
    assert ">012345678901…<" in text
    assert "0.02" in text, "KiB of the map"


LABELS = """
<script>
addEventListener("load", () => setTimeout(() => {
  const cell = document.querySelector("#ceiling-1 tbody td:nth-child(3)");
  tell({ display: getComputedStyle(cell).display, label: getComputedStyle(cell, "::before").content });
}, 200));
</script>
"""


@needs_chromium
@pytest.mark.parametrize(
    ("width", "seen"),
    [(1440, {"display": "table-cell", "label": "none"}), (600, {"display": "flex", "label": '"quality"'})],
)
def test_rows_are_cards_on_a_phone_alone(tmp_path: Path, width: int, seen: dict[str, str]) -> None:
    publish(RECORDS, tmp_path, "quantize")
    assert seen_on(tmp_path / "boards" / "toy" / BOARD, LABELS, width=width) == seen
