"use strict";
// What fits: rows within limits, the best first. The limits are in the address, so that a choice can be sent.

const rows = JSON.parse(document.getElementById("rows").textContent);
const form = document.getElementById("choose"), found = document.getElementById("found"), count = document.getElementById("count");
const MOST = 100;

function limits() { return Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== "")); }

function number(text) { return text === undefined ? Infinity : Number(text); }

function fits(row, limit) {
  return row.workload === limit.workload
    && row[limit.counted] <= number(limit.memory)
    && row.loss <= number(limit.loss)
    && (limit.latency === undefined || (row.latency !== null && row.latency <= Number(limit.latency)))
    && (limit.widths === undefined || row.widths === limit.widths)
    && (limit.division === undefined || row.division === limit.division);
}

// Newer protocols first: their figures do not compare with older ones. What was not measured comes last.
function order(first) {
  const cost = (row, name) => row[name] ?? Number.MAX_VALUE;
  return (a, b) => b.protocol - a.protocol || cost(a, first) - cost(b, first) || a.loss - b.loss || cost(a, "latency") - cost(b, "latency");
}

function cell(row, label, text, target) {
  const place = row.insertCell();
  place.dataset.label = label;
  if (target) {
    const link = place.appendChild(document.createElement("a"));
    link.href = target;
    link.textContent = text;
  } else {
    place.textContent = text;
  }
  return place;
}

function shown(value, digits, unit = "") { return value === null ? "–" : value.toFixed(digits) + unit; }

function add(body, one) {
  const row = body.insertRow();
  cell(row, "method", one.method, one.record);
  cell(row, "ceiling", one.ceiling);
  cell(row, "loss", `${shown(one.loss, 2)} ± ${shown(one.half, 2)}`).className = "number";
  for (const [name, digits] of [["live", 1], ["largest", 1]]) cell(row, `${name}, KiB`, shown(one[name], digits)).className = "number";
  cell(row, "latency", shown(one.latency, 2, "x")).className = "number";
  cell(row, "memory, KiB", shown(one.memory, 0)).className = "number";
  cell(row, "verified", one.verified ? "✓" : "–");
  cell(row, "board", one.title, one.board).className = "text";
}

function update() {
  const limit = limits();
  history.replaceState(null, "", `#${new URLSearchParams(limit)}`);
  const fitting = rows.filter((row) => fits(row, limit)).sort(order(limit.first));
  const all = rows.filter((row) => row.workload === limit.workload);
  const more = fitting.length > MOST ? `; the first ${MOST} are shown` : "";
  count.textContent = `${fitting.length} of ${all.length} rows of ${limit.workload} fit${more}. Loss is in ${all[0]?.metric ?? "the metric's unit"}.`;
  found.hidden = fitting.length === 0;
  const body = document.createElement("tbody");
  fitting.slice(0, MOST).forEach((row) => add(body, row));
  found.tBodies[0].replaceWith(body);
}

function restore() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLElement) field.value = value;
  }
}

for (const name of new Set(rows.map((row) => row.workload))) form.elements.workload.add(new Option(name));
if (rows.length) {
  form.hidden = false;
  restore();
  update();
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", () => { restore(); update(); });
} else {
  count.textContent = "There are no rows of the inference track.";
}
