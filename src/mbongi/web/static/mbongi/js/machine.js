// One machine: its charts, its present figures, and its actions' outcome as it arrives.
import * as live from "./live.js";
import { Chart, load } from "./chart.js";
import { update } from "./rows.js";

export function start(page) {
  const id = page.dataset.id;
  const charts = [...page.querySelectorAll(".chart")].map((node) => [node.dataset.column.split(","), new Chart(node)]);
  let windowS = 86400;
  const fetchSeries = (hours) => {
    windowS = hours * 3600;
    load(`/api/v1/machines/${id}/series?hours=${hours}`, charts.map(([, chart]) => chart), (answer) => {
      for (const [names, chart] of charts) {
        const lines = names.map((name) => answer.columns[name].slice());
        // A machine with two fans has no third and fourth line.
        const used = names.length > 1 && !chart.isBand ? lines.filter((line) => line.some((one) => one !== null)) : lines;
        chart.show([answer.at.slice(), ...(used.length ? used : lines)], windowS);
      }
    });
  };
  fetchSeries(24);
  for (const button of page.querySelectorAll("[data-hours]")) {
    button.addEventListener("click", () => {
      for (const other of page.querySelectorAll("[data-hours]")) other.setAttribute("aria-pressed", other === button);
      fetchSeries(Number(button.dataset.hours));
    });
  }
  live.on("machines", (columns) => {
    update(page, columns);
    const i = columns.id.indexOf(Number(id));
    if (i < 0) return;
    for (const [names, chart] of charts) chart.push(columns.at[i], names.map((name) => columns[name]?.[i] ?? null), windowS);
  });
  live.on("event", (event) => {
    if (String(event.machine_id) !== id) return;
    for (const part of page.querySelectorAll("[data-refresh]")) htmx.trigger(part, "refresh");
  });
}
