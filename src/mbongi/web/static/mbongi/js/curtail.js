// The curtailment console: what was measured, the target and the ramp as planned, asked for again every two seconds.
import { Chart, load } from "./chart.js";

const AGAIN_MS = 2000;

export function start(page) {
  const chart = new Chart(page.querySelector(".chart"));
  const show = (answer) => chart.show([answer.at, answer.power_w, answer.target_w, answer.plan_w]);
  const again = () => { if (!document.hidden) load(page.dataset.course, [chart], show); };
  again();
  setInterval(again, AGAIN_MS);
}
