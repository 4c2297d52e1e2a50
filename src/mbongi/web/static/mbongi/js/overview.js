// The overview: site charts, hottest machines and newest alarms follow the stream.
import * as live from "./live.js";
import { Chart, load } from "./chart.js";
import { update } from "./rows.js";

const WINDOW_S = 86400;

export function start(page) {
  const charts = [...page.querySelectorAll(".chart")].map((node) => [node.dataset.column.split(","), new Chart(node)]);
  load("/api/v1/site/series?hours=24", charts.map(([, chart]) => chart), (answer) => {
    for (const [names, chart] of charts) chart.show([answer.at.slice(), ...names.map((name) => answer.columns[name].slice())], WINDOW_S);
  });
  let last = 0;
  live.on("site", (site) => {
    paintSplit(page, site.states);
    if (!site.newest_at || site.newest_at - last < 60) return;
    last = site.newest_at;
    for (const [names, chart] of charts) chart.push(site.newest_at, names.map((name) => site[name]), WINDOW_S);
  });
  live.on("machines", (columns) => {
    update(page, columns);
    for (const meter of page.querySelectorAll("meter[data-meter]")) {
      const i = columns.id.indexOf(Number(meter.closest("[data-machine]").dataset.machine));
      if (i >= 0 && columns.chip_temp_max_c[i] !== null) meter.value = columns.chip_temp_max_c[i];
    }
  });
  // Alarms come and go: the server says which are open now, once for all that changed at the same time.
  let count = null;
  let waiting = 0;
  const refresh = () => { clearTimeout(waiting); waiting = setTimeout(() => htmx.trigger(page.querySelector("[data-alarms]"), "refresh"), 400); };
  live.on("event", refresh);
  live.on("site", (site) => {
    if (count !== null && site.alarms !== count) refresh();
    count = site.alarms;
  });
}

function paintSplit(page, states) {
  const bar = page.querySelector("[data-split]");
  if (!bar) return;
  const total = Object.values(states).reduce((sum, one) => sum + one, 0) || 1;
  let left = 0;
  for (const part of bar.querySelectorAll("rect")) {
    const width = (100 * (states[part.dataset.of] || 0)) / total;
    part.setAttribute("x", left);
    part.setAttribute("width", Math.max(0, width - (width > 1 ? 0.4 : 0)));
    left += width;
  }
}
