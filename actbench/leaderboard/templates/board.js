"use strict";
// A board: tabs for ceilings, filters of tables and pictures alike, columns, and sorting.

const tabs = [...document.querySelectorAll(".tabs a")];
const sections = tabs.map((tab) => document.querySelector(tab.hash));
const form = document.querySelector(".controls");

function open(hash) {
  const place = Math.max(0, tabs.findIndex((tab) => tab.hash === hash));
  tabs.forEach((tab, index) => index === place ? tab.setAttribute("aria-current", "true") : tab.removeAttribute("aria-current"));
  sections.forEach((section, index) => { section.dataset.open = String(index === place); });
}

// What is inside of a tab, such as the commands that renew its rows, belongs to it.
function follow() {
  const target = location.hash && document.querySelector(location.hash);
  if (target && !sections.includes(target)) return;
  open(location.hash);
}

function filter() {
  const { method, status } = Object.fromEntries(new FormData(form));
  const differs = (one) => method !== "" && one.dataset.method !== method;
  document.querySelectorAll(".rows tbody tr").forEach((row) => { row.hidden = differs(row) || (status !== "" && row.dataset.status !== status); });
  document.querySelectorAll("svg [data-method]").forEach((group) => group.classList.toggle("faded", differs(group) || (status !== "" && status !== "ok")));
}

function choose(box) {
  document.querySelector(`style[data-column="${box.value}"]`).media = box.checked ? "not all" : "all";
  const wide = form.querySelectorAll("input:checked").length > 10;
  document.querySelectorAll(".tab .scroll").forEach((scroll) => scroll.classList.toggle("wide", wide));
}

// The first click puts the best on top, and what has no value last either way.
function sort(table, header) {
  const best = header.dataset.better === "more" ? "descending" : "ascending";
  const order = header.getAttribute("aria-sort") === best ? (best === "ascending" ? "descending" : "ascending") : best;
  table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", order);
  const column = header.cellIndex, numeric = header.classList.contains("number");
  const value = (row) => row.cells[column].dataset.sort;
  const compare = (a, b) => {
    if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
    const rises = numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b));
    return order === "ascending" ? rises : -rises;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

form.hidden = false;
form.addEventListener("change", (event) => event.target.type === "checkbox" ? choose(event.target) : filter());
form.addEventListener("submit", (event) => event.preventDefault());
form.reset();
if (sections.length) {
  addEventListener("hashchange", follow);
  open(location.hash);
}
document.querySelectorAll(".rows").forEach((table) => table.querySelectorAll("th button").forEach((button) =>
  button.addEventListener("click", () => sort(table, button.closest("th")))));
