"use strict";
// The plot, sorting, filtering and the bars of a selected row, for each board on the page.

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"]; // Okabe and Ito, 2008
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];

function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function escaped(text) {
  const node = document.createElement("span");
  node.textContent = text;
  return node.innerHTML;
}

function layout(more) {
  const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), linecolor: style("--line"), automargin: true };
  return Object.assign({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style("--ink"), size: 13 },
    margin: { l: 56, r: 12, t: 28, b: 48 }, hovermode: "closest",
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
  }, more, { xaxis: Object.assign({}, axis, more.xaxis), yaxis: Object.assign({}, axis, more.yaxis) });
}

// The corners of the steps of what none beats in both.
function frontTrace(corners) {
  return { name: "Pareto front", x: corners.map((corner) => corner[0]), y: corners.map((corner) => corner[1]),
    mode: "lines", line: { color: style("--front"), width: 9 }, hoverinfo: "skip" };
}

function drawPlot(place, all, fronts, axis) {
  const reference = all.find((point) => point.line);
  const points = all.filter((point) => !point.line && point.at[axis.name] > 0);
  const names = [...new Set(all.filter((point) => !point.line).map((point) => point.name))];
  const traces = names.map((name, index) => {
    const own = points.filter((point) => point.name === name).sort((a, b) => a.at[axis.name] - b.at[axis.name]);
    return {
      name: escaped(name), x: own.map((point) => point.at[axis.name]), y: own.map((point) => point.quality),
      mode: own.length > 1 ? "lines+markers" : "markers",
      line: { color: COLOURS[index % COLOURS.length], width: 1.5, dash: index >= COLOURS.length ? "dot" : "solid" },
      marker: { symbol: SYMBOLS[index % SYMBOLS.length], size: 9 },
      error_y: { type: "data", symmetric: false, thickness: 1, width: 2,
        array: own.map((point) => point.high - point.quality), arrayminus: own.map((point) => point.quality - point.low) },
      text: own.map((point) => escaped(`${point.name} ${point.ceiling}`)),
      hovertemplate: "%{text}<br>%{y:.2f} at %{x:.2f}<extra></extra>",
    };
  });
  traces.unshift(frontTrace(fronts[axis.name]));
  const kind = { peak: /^([\d.]+)x$/, traffic: /^traffic:([\d.]+)x$/, live: /^live:([\d.]+)x$/ }[axis.ceiling];
  const factors = kind ? [...new Set(points.map((point) => (kind.exec(point.ceiling) || [])[1]).filter(Boolean))].map(Number) : [];
  // A tick at each octave, where there are two of them.
  const places = points.map((point) => point.at[axis.name]), octaves = Math.log2(Math.max(...places) / Math.min(...places));
  Plotly.react(place, traces, layout({
    xaxis: { type: "log", title: { text: escaped(axis.title) }, ...(octaves >= 2 ? { dtick: Math.log10(2) } : {}) },
    yaxis: { title: { text: escaped((all[0] || {}).metric || "quality") } },
    shapes: [
      ...factors.map((factor) => ({ type: "line", x0: factor, x1: factor, yref: "paper", y0: 0, y1: 1,
        line: { color: style("--soft"), width: 1, dash: "dot" } })),
      ...(reference ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: reference.quality, y1: reference.quality,
        line: { color: style("--ink"), width: 1 }, label: { text: escaped(reference.name), textposition: "start" } }] : []),
    ],
    annotations: factors.map((factor) => ({ x: Math.log10(factor), y: 1, yref: "paper", text: `${factor}x`, showarrow: false,
      yanchor: "bottom", font: { color: style("--soft") } })),
  }), { responsive: true, displayModeBar: false });
}

function drawBars(place, point) {
  place.hidden = false;
  const { unit, names, stored, fp32 } = point.bars, x = names.map(escaped);
  const before = fp32.length ? [{ type: "bar", name: "fp32", x, y: fp32, marker: { color: style("--line") } }] : [];
  Plotly.react(place, [...before,
    { type: "bar", name: escaped(`${point.name} ${point.ceiling}`), x, y: stored, marker: { color: COLOURS[0] } },
  ], layout({ yaxis: { type: "log", title: { text: unit } }, barmode: "overlay" }),
  { responsive: true, displayModeBar: false });
}

function sortRows(table, column, button) {
  const header = button.closest("th");
  const down = header.getAttribute("aria-sort") === "ascending";
  table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const numeric = header.classList.contains("number");
  const value = (row) => row.cells[column].dataset.sort;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [first, second] = [value(a), value(b)];
    if (first === "" || second === "") return (first === "") - (second === "");
    const order = numeric ? Number(first) - Number(second) : first.localeCompare(second);
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

function start(section) {
  const [points, fronts] = [".points", ".fronts"].map((data) => JSON.parse(section.querySelector(data).textContent));
  const plot = section.querySelector(".plot"), axis = section.querySelector(".axis"), table = section.querySelector(".rows");
  const chosen = () => {
    const { value, textContent, dataset } = axis.selectedOptions[0];
    return { name: value, title: textContent, ceiling: dataset.ceiling };
  };
  // First the axis that has ceilings of this board on it.
  const kinds = new Set(points.filter((point) => point.ceiling).map((point) => (/^(\w+):/.exec(point.ceiling) || [0, "peak"])[1]));
  const kind = kinds.size === 1 ? [...kinds][0] : "peak";
  axis.value = ([...axis.options].find((option) => option.dataset.ceiling === kind) || axis.options[0]).value;
  const draw = () => drawPlot(plot, points, fronts, chosen());
  draw();
  axis.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  table.querySelectorAll("th button").forEach((button, column) =>
    button.addEventListener("click", () => sortRows(table, column, button)));
  section.querySelector(".filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  const select = (row) => {
    const point = points.find((candidate) => `${candidate.name} ${candidate.ceiling}` === row.dataset.row);
    table.querySelectorAll(".selected").forEach((other) => other.classList.remove("selected"));
    row.classList.add("selected");
    if (point && point.bars) drawBars(section.querySelector(".maps"), point);
  };
  table.tBodies[0].addEventListener("click", (event) => select(event.target.closest("tr")));
  table.tBodies[0].addEventListener("keydown", (event) => {
    if (event.target.tagName !== "TR" || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    select(event.target);
  });
}

document.querySelectorAll(".board").forEach(start);
