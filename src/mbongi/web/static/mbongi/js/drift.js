// Drift: the diverted hashrate over time, a line for each pool.
import { Chart, load } from "./chart.js";

const AGAIN_MS = 60000;

export function start(page) {
  const node = page.querySelector(".chart");
  if (!node) return;
  const chart = new Chart(node);
  const hours = Number(node.dataset.hours);
  const again = () => load(`/fleet/drift/series.json?hours=${hours}`, [chart], (answer) => {
    chart.show([answer.at, ...Object.values(answer.columns)]);
  });
  again();
  setInterval(() => { if (!document.hidden) again(); }, AGAIN_MS);
}
