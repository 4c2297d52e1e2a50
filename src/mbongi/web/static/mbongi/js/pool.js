// The pool: hashrates with their intervals over time; present figures follow the stream; the rest is asked for again.
import * as live from "./live.js";
import { Chart, load } from "./chart.js";
import { isStale, now, number, scaled } from "./words.js";

const AGAIN_MS = 60000;
const SILENT_S = 10;

export function start(page) {
  const charts = [...page.querySelectorAll(".chart")].map((node) => [node.dataset.column.split(","), Number(node.dataset.factor || 1), new Chart(node)]);
  const join = page.dataset.series.includes("?") ? "&" : "?";
  let hours = 24;
  const fetchSeries = () => load(`${page.dataset.series}${join}hours=${hours}`, charts.map(([, , chart]) => chart), (answer) => {
    for (const [names, factor, chart] of charts) {
      chart.show([answer.at.slice(), ...names.map((name) => answer.columns[name].map((one) => (one === null ? null : one * factor)))], hours * 3600);
    }
  });
  fetchSeries();
  setInterval(() => { if (!document.hidden) fetchSeries(); }, AGAIN_MS);
  for (const button of page.querySelectorAll("[data-hours]")) {
    button.addEventListener("click", () => {
      for (const other of page.querySelectorAll("[data-hours]")) other.setAttribute("aria-pressed", other === button);
      hours = Number(button.dataset.hours);
      fetchSeries();
    });
  }
  let heard = Number(page.dataset.heard || 0);
  const banner = page.querySelector("[data-pool-stale]");
  const look = () => {
    if (!banner || !heard) return;
    banner.hidden = now() - heard < SILENT_S;
    page.classList.toggle("is-silent", !banner.hidden);
  };
  setInterval(look, 1000);
  live.on("pool", (pool) => {
    if (!pool.heard_at) return;
    heard = pool.heard_at;
    page.querySelector("[data-pool-never]")?.remove();
    for (const node of page.querySelectorAll("[data-pool]")) paint(node, pool);
    for (const node of page.querySelectorAll("[data-pool-heard]")) node.dateTime = new Date(heard * 1000).toISOString();
    const notes = page.querySelector("#pool-notes");
    if (notes && pool.trouble !== undefined && pool.trouble !== (notes.dataset.trouble === "1")) {
      notes.dataset.trouble = pool.trouble ? "1" : "";
      htmx.trigger(page.querySelector("[data-pool-record]"), "refresh");
    }
    look();
  });
}

function paint(node, pool) {
  const value = pool[node.dataset.pool];
  if (value === undefined) return;
  if (node.dataset.unit !== undefined) {
    const [text, unit] = scaled(value, node.dataset.unit);
    if (node.firstChild.textContent !== text) node.firstChild.textContent = text;
    node.querySelector(".unit").textContent = unit;
  } else {
    const text = number(value, Number(node.dataset.decimals || 0));
    if (node.textContent !== text) node.textContent = text;
  }
  if (node.dataset.at !== undefined) {
    node.dataset.at = pool.heard_at;
    node.classList.toggle("is-stale", isStale(pool.heard_at));
  }
}
