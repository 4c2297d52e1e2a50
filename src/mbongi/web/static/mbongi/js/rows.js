// Rows of a machine table: figures, state and age change in place; the order stays until somebody sorts.
import * as live from "./live.js";
import { fill, number, paintState, words } from "./words.js";

export function setSince(row, at) {
  const since = row.querySelector("[data-since]");
  if (since) since.dataset.since = at;
}

export function start(page) {
  live.on("machines", (columns) => update(document.querySelector("[data-page=machines]") || page, columns));
  document.addEventListener("change", (event) => { if (event.target.matches("[data-bulk-page], [data-bulk-all], .pick")) choose(event.target); });
  // What is kept is what the address says now; the filters change it without loading the page again.
  document.querySelector("[data-keep-view]")?.addEventListener("submit", (event) => {
    const query = new URLSearchParams(location.search);
    for (const name of ["page", "focus", "into"]) query.delete(name);
    event.target.elements.query.value = query.toString();
  });
}

function choose(target) {
  const picks = [...document.querySelectorAll(".pick")];
  if (target.matches("[data-bulk-page]")) for (const pick of picks) pick.checked = target.checked;
  const all = document.querySelector("[data-bulk-all]").checked;
  const count = picks.filter((pick) => pick.checked).length;
  const said = document.querySelector("[data-bulk-count]");
  said.textContent = !all && count ? fill(words.machines, { n: count }) : "";
}

export function update(page, columns) {
  for (let i = 0; i < columns.id.length; i += 1) {
    const mine = `[data-machine="${columns.id[i]}"]`;
    const row = page.matches(mine) ? page : page.querySelector(mine);
    if (!row) continue;
    for (const cell of row.querySelectorAll("[data-figure]")) {
      const value = columns[cell.dataset.figure]?.[i];
      if (value === undefined) continue;
      const text = number(value, Number(cell.dataset.decimals || 0));
      const place = cell.firstChild;
      if (place && place.textContent !== text) place.textContent = text;
      cell.dataset.at = columns.at[i];
    }
    const state = row.querySelector("[data-state-place]");
    if (state) {
      state.dataset.read = columns.at[i];
      // The page knows since when; the stream only knows when the state turned.
      if (paintState(state, columns.state[i])) setSince(row, columns.since[i]);
    }
    const age = row.querySelector("time[data-age]");
    if (age) age.dateTime = new Date(columns.at[i] * 1000).toISOString();
  }
}
