"""The pages in a browser: what a reader does, and that nothing leaves the machine."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actbench.leaderboard.publish import publish
from tests.leaderboard.made_up import RECORDS, footprint, record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ACTIONS = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector(".rows"), names = () => [...table.tBodies[0].rows].filter((row) => !row.hidden)
    .map((row) => row.cells[1].textContent + " " + row.cells[2].textContent);
  const button = (title) => [...table.querySelectorAll("th button")].find((one) => one.textContent === title);
  const seen = { plotted: document.querySelectorAll(".plot .scatterlayer .trace").length,
    ceilings: document.querySelectorAll(".plot .annotation").length };
  button("quality").click();
  seen.rising = names();
  button("quality").click();
  seen.falling = names();
  const filter = document.querySelector(".filter");
  filter.value = "wavelet 4x";
  filter.dispatchEvent(new Event("input"));
  seen.filtered = names();
  const row = table.querySelector("tbody tr:not([hidden])");
  row.focus();
  seen.focused = document.activeElement === row;
  row.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  setTimeout(() => {
    const axis = document.querySelector(".axis");
    axis.value = "traffic_ratio";
    axis.dispatchEvent(new Event("change"));
    seen.axes = [...axis.options].map((option) => option.value);
    seen.title = document.querySelector(".plot .xtitle").textContent;
    seen.bars = document.querySelectorAll(".maps .bars .point").length;
    const urls = performance.getEntriesByType("resource").map((entry) => entry.name);
    seen.requests = urls.filter((url) => !url.startsWith("file:"));
    seen.errors = errors;
    document.body.innerHTML = "";
    document.body.textContent = "SEEN" + JSON.stringify(seen) + "END";
  }, 400);
}, 400));
</script>
"""


FIRST = """
<script>
addEventListener("load", () => setTimeout(() => {
  const seen = { axis: document.querySelector(".axis").value, ticks: document.querySelectorAll(".plot .xtick").length };
  document.body.textContent = "SEEN" + JSON.stringify(seen) + "END";
}, 400));
</script>
"""


def seen_on(page: Path) -> dict[str, Any]:
    """What a script that is on a page has seen."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    assert CHROMIUM is not None
    done = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"SEEN(\{.*\})END", done.stdout)
    assert found, done.stderr
    seen: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return seen


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_reader_sorts_filters_and_opens_a_row(tmp_path: Path) -> None:
    publish(RECORDS, tmp_path, "quantize")
    page = tmp_path / "boards" / "toy" / "index.html"
    page.write_text(page.read_text().replace("</head>", ACTIONS + "</head>"))
    seen = seen_on(page)
    assert seen["errors"] == []
    assert seen["requests"] == []
    assert seen["plotted"] == 4, "three methods and the front"
    assert seen["rising"][0] == "dropping 8x"
    assert seen["falling"][0] == "none –"
    assert seen["rising"][-1] == seen["falling"][-1] == "wavelet 16x", "without a quality it comes last either way"
    assert seen["filtered"] == ["wavelet 4x"]
    assert seen["focused"]
    assert seen["bars"] == 2, "by the keyboard alone"
    assert seen["axes"] == ["peak_ratio", "traffic_ratio", "live_ratio", "latency_ratio", "memory_bytes"]
    assert seen["title"].startswith("traffic")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_first_axis_is_that_of_the_ceilings_and_has_numbers(tmp_path: Path) -> None:
    def stored(bits: int) -> dict[str, Any]:
        live = {"peak": bits, "traffic": bits, "reference_peak": 1024, "reference_traffic": 1024}
        return {"parts": {"footprint": footprint(bits, 256) | {"live": live}}}

    rows = [
        record(name, "live:4x", 80.0, bits, **stored(bits)) for name, bits in {"quantize": 250, "wavelet": 230}.items()
    ]
    publish(rows, tmp_path, "quantize")
    page = tmp_path / "boards" / "toy" / "index.html"
    page.write_text(page.read_text().replace("</head>", FIRST + "</head>"))
    seen = seen_on(page)
    assert seen["axis"] == "live_ratio"
    assert seen["ticks"] >= 2, "rows less than an octave apart"
