"use strict";
// Without this script the page reads the same: it only finds rows and opens them.
const rows = [...document.querySelectorAll("details.row")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
const filter = document.getElementById("filter");
const found = document.getElementById("found");
const open = document.getElementById("open");

function search() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { row, text } of rows) {
    row.hidden = !words.every((word) => text.includes(word));
    if (!row.hidden) shown += 1;
  }
  found.value = words.length ? `${shown} of ${rows.length} rows` : "";
  for (const head of document.querySelectorAll(".head")) {
    head.hidden = ![...head.parentElement.querySelectorAll("details.row")].some((row) => !row.hidden);
  }
}

// A link to a row opens it, and shows it if the filter hides it.
function follow() {
  const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!row || !row.matches("details.row")) return;
  if (row.hidden) {
    filter.value = "";
    search();
  }
  row.open = true;
  row.scrollIntoView({ block: "start" });
}

filter.addEventListener("input", search);
filter.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  filter.value = "";
  search();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target === filter) return;
  event.preventDefault();
  filter.focus();
});
open.addEventListener("click", () => {
  const visible = rows.filter(({ row }) => !row.hidden);
  const all = visible.some(({ row }) => !row.open);
  for (const { row } of visible) row.open = all;
  open.textContent = all ? "Close all" : "Open all";
});
addEventListener("hashchange", follow);
follow();
