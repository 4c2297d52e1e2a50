// Dispatch: the plan as layers of supply on top of each other, mining and the baseline as lines, prices, and why.
import { Chart, load } from "./chart.js";
import { language, scaled, words } from "./words.js";

const AGAIN_MS = 60000;
const COLOURS = ["--chart-1", "--chart-3", "--chart-4", "--starting", "--fault", "--off"];
const clock = new Intl.DateTimeFormat(language, { timeZone: words.timezone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// The plan's chart: as the others, but its first lines are sums that fill down to zero, the topmost drawn first.
class Layers extends Chart {
  constructor(node, why) {
    super(node);
    this.why = why;
  }

  answer(plan) {
    this.plan = plan;
    const sums = [];
    plan.layers.forEach((layer, i) => sums.push(layer.w.map((one, step) => one + (i ? sums[i - 1][step] : 0))));
    sums.reverse();
    this.names = [...plan.layers.map((layer) => layer.name).reverse(), this.node.dataset.mining, this.node.dataset.nothing];
    if (this.data && this.data.length !== sums.length + 3) { this.plot?.destroy(); this.plot = null; }
    this.show([plan.at, ...sums, plan.mining_w, plan.nothing_w], 0);
  }

  draw() {
    super.draw();
    if (!this.plot) return;
    const count = this.plan.layers.length;
    const stepped = uPlot.paths.stepped({ align: 1 });
    const { width, height } = this.plot;
    const series = this.plot.series.map((one, i) => {
      if (!i) return {};
      const stroke = i <= count ? colour(COLOURS[(count - i) % COLOURS.length]) : colour(i === count + 1 ? "--ink" : "--ink-3");
      return { label: one.label, stroke, width: i <= count ? 1 : 2, dash: i === count + 2 ? [6, 4] : undefined, fill: i <= count ? stroke + "cc" : undefined, paths: stepped, points: { show: false } };
    });
    const { axes, scales } = this.plot;
    this.plot.destroy();
    this.node.replaceChildren();
    const axis = (one, more) => ({ stroke: colour("--ink-3"), font: "12px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, ...more, values: one.values });
    this.plot = new uPlot({
      width, height, series,
      padding: [8, 18, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), words.timezone),
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { range: scales.x.range }, y: { range: scales.y.range } },
      axes: [axis(axes[0], { space: 64, size: 28 }), axis(axes[1], { space: 36, size: 64 })],
      hooks: { setCursor: [(plot) => this.explain(plot.cursor.idx)] },
    }, this.data, this.node);
  }

  explain(step) {
    if (step === null || step === undefined || !this.plan.why[step]) return;
    const w = (value) => { const [text, unit] = scaled(value, "W"); return text + "\u202f" + unit; };
    const parts = this.plan.layers.filter((layer) => layer.w[step] > 0).map((layer) => `${layer.name} ${w(layer.w[step])}`);
    parts.push(`${this.node.dataset.mining} ${w(this.plan.mining_w[step])}`);
    const bold = document.createElement("b");
    bold.textContent = clock.format(new Date(this.plan.at[step] * 1000));
    this.why.replaceChildren(bold, ` ${parts.join(", ")}. ${this.plan.why[step].join("; ")}.`);
  }
}

function keys(box, node, plan) {
  const made = plan.layers.map((layer, i) => [`c${i % COLOURS.length}`, layer.name]);
  const lines = [["mining line", node.dataset.mining], ["nothing line", node.dataset.nothing]];
  box.replaceChildren(...[...made, ...lines].map(([name, text]) => {
    const key = document.createElement("span");
    const mark = document.createElement("i");
    mark.className = name;
    key.append(mark, text);
    return key;
  }));
}

export function start(page) {
  const node = page.querySelector(".energy-chart");
  const layers = new Layers(node, page.querySelector("[data-why]"));
  const price = new Chart(page.querySelector(".energy-price"));
  const again = () => load(page.dataset.plan, [layers, price], (plan) => {
    if (!plan.at.length) { layers.say(words.noData); price.say(words.noData); return; }
    keys(page.querySelector("[data-keys]"), node, plan);
    layers.answer(plan);
    if (plan.price) price.show([plan.at, plan.price], 0); else price.say(words.noData);
  });
  again();
  setInterval(() => { if (!document.hidden) again(); }, AGAIN_MS);
}
