// Line charts over time on uPlot: theme colours, the site's number format, a tip that names figure, unit and time.
import { language, number, scaled, stepOf, withUnit, words } from "./words.js";

const timeZone = words.timezone;

const charts = new Set();
const clock = new Intl.DateTimeFormat(language, { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const secondClock = new Intl.DateTimeFormat(language, { timeZone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayClock = new Intl.DateTimeFormat(language, { timeZone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(language, { timeZone, day: "numeric", month: "short" });

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function faint(hex) { return hex.startsWith("#") ? hex + "22" : hex; }

// node: .chart with data-band where the second and third line are the interval around the first, and the second name is the fourth line's; data-unit, data-decimals, data-names (one name per line, "|" between), data-from ("zero" or "").
export class Chart {
  constructor(node) {
    this.node = node;
    this.unit = node.dataset.unit || "";
    this.decimals = Number(node.dataset.decimals || 0);
    this.names = node.dataset.names.split("|");
    this.isBand = node.dataset.band !== undefined;
    this.data = null;
    this.plot = null;
    this.windowS = 0;
    charts.add(this);
    new ResizeObserver(() => this.resize()).observe(node);
  }

  say(text) {
    if (this.plot) { this.plot.destroy(); this.plot = null; }
    this.data = null;
    const over = document.createElement("div");
    over.className = "over";
    over.textContent = text;
    this.node.replaceChildren(over);
  }

  // data: [times, values, …] in seconds and the chart's unit; nulls are gaps.
  show(data, windowS = 0) {
    this.windowS = windowS;
    const known = data.slice(1).some((line) => line.some((one) => one !== null));
    if (!data[0].length || !known) { this.say(words.noData); return; }
    // uPlot takes a single moment for the beginning of a day to come: give it one before.
    if (data[0].length === 1) data = data.map((line, i) => (i ? [null, line[0]] : [line[0] - 60, line[0]]));
    if (this.plot && this.data && this.data.length === data.length) { this.data = data; this.plot.setData(data); return; }
    this.data = data;
    this.draw();
  }

  // One more point; points older than the window leave.
  push(at, values, windowS) {
    if (!this.data) return;
    const times = this.data[0];
    const last = times[times.length - 1];
    if (last !== undefined && at <= last) return;
    times.push(at);
    values.forEach((value, i) => this.data[i + 1]?.push(value ?? null));
    while (times.length && times[0] < at - windowS) for (const line of this.data) line.shift();
    this.plot?.setData(this.data);
  }

  resize() {
    if (this.plot && this.node.clientWidth) this.plot.setSize({ width: this.node.clientWidth, height: this.node.clientHeight });
  }

  draw() {
    this.plot?.destroy();
    this.node.replaceChildren();
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--ink-3"), font: "12px system-ui, sans-serif", grid, ticks: { show: false } };
    const lines = this.names.slice(0, this.data.length - 1).map((name, i) => {
      const stroke = colour(`--chart-${(i % 4) + 1}`);
      return { label: name, stroke, width: 1.75, fill: this.data.length === 2 ? faint(stroke) : undefined, points: { show: this.data[0].length < 3 }, spanGaps: false };
    });
    const bands = this.isBand ? [{ series: [3, 2], fill: faint(colour("--chart-1")) }] : [];
    if (this.isBand) {
      lines[0].fill = undefined;
      const edge = { width: 0, stroke: "transparent", points: { show: false }, spanGaps: false };
      lines.splice(1, 0, edge, { ...edge });
    }
    const fromZero = this.node.dataset.from === "zero";
    this.plot = new uPlot({
      width: this.node.clientWidth,
      height: this.node.clientHeight,
      padding: [8, 18, 0, 0],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), timeZone),
      legend: { show: false },
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { range: (_plot, low, high) => this.span(low, high) }, y: { range: (_plot, low, high) => (low === null ? [0, 1] : roomy(low, this.isBand ? this.bandTop(high) : high, fromZero)) } },
      series: [{}, ...lines],
      bands,
      axes: [
        { ...axis, space: 64, size: 28, values: (_plot, splits) => splits.map((at) => { const text = (splits[1] - splits[0] < 60 ? secondClock : clock).format(new Date(at * 1000)); return text === "00:00" ? day.format(new Date(at * 1000)) : text; }) },
        { ...axis, space: 36, size: (_plot, texts) => Math.max(36, 16 + 7 * Math.max(0, ...(texts || []).map((text) => text.length))), values: (_plot, splits) => this.axisTexts(splits) },
      ],
      plugins: [tip(this)],
    }, this.data, this.node);
  }

  // The whole period, unless the site is younger: then what there is, and a quarter of an hour at least.
  span(low, high) {
    if (!this.windowS || high === null) return [low, high];
    const known = (high - low) * 1.05;
    return [high - (known > this.windowS / 2 ? this.windowS : Math.max(known, Math.min(900, this.windowS))), high];
  }

  // The interval of a few shares is wide: it may leave the picture, so that the line does not lie at its bottom.
  bandTop(high) {
    const shown = this.data.filter((_line, i) => i === 1 || i > 3).flat().filter((one) => one !== null);
    return Math.min(high, 1.6 * Math.max(...shown) || high);
  }

  axisTexts(splits) {
    const top = Math.max(...splits.map(Math.abs));
    const [size, unit] = stepOf(top, this.unit);
    const step = (splits[1] - splits[0]) / size || 1;
    const decimals = Number.isInteger(step) ? 0 : step >= 0.1 ? 1 : 2;
    return splits.map((value, i) => (i === splits.length - 1 ? number(value / size, decimals) + " " + unit : number(value / size, decimals)));
  }

  text(value) {
    if (this.unit === "TH/s" || this.unit === "W" || this.unit === "H/s") { const [text, unit] = scaled(value, this.unit); return text + "\u202f" + unit; }
    return withUnit(value, this.unit, this.decimals);
  }
}

function roomy(low, high, fromZero) {
  if (fromZero) return [0, high > 0 ? high * 1.12 : 1];
  const room = Math.max((high - low) * 0.15, Math.abs(high) * 0.02, 0.5);
  return [low - room < 0 && low >= 0 ? 0 : low - room, high + room];
}

function tip(chart) {
  let box;
  return {
    hooks: {
      init: (plot) => {
        box = document.createElement("div");
        box.className = "chart-tip";
        box.hidden = true;
        plot.over.append(box);
        plot.over.addEventListener("mouseleave", () => { box.hidden = true; });
      },
      setCursor: (plot) => {
        const at = plot.cursor.idx;
        if (at === null || at === undefined || plot.cursor.left < 0) { box.hidden = true; return; }
        const rows = [dayClock.format(new Date(plot.data[0][at] * 1000))];
        box.replaceChildren(document.createTextNode(rows[0]));
        chart.names.slice(0, plot.data.length - 1).forEach((name, i) => {
          const line = chart.isBand && i ? i + 3 : i + 1;
          const row = document.createElement("div");
          const dot = document.createElement("i");
          dot.className = "k" + ((i % 4) + 1);
          row.append(dot, `${name}: ${chart.text(plot.data[line][at])}`);
          if (chart.isBand && !i && plot.data[2][at] !== null) row.append(` (${chart.text(plot.data[2][at])} – ${chart.text(plot.data[3][at])})`);
          box.append(row);
        });
        box.hidden = false;
        const left = plot.cursor.left;
        const right = left > plot.over.clientWidth / 2;
        box.style.left = right ? "" : left + 12 + "px";
        box.style.right = right ? plot.over.clientWidth - left + 12 + "px" : "";
        box.style.top = "4px";
      },
    },
  };
}

addEventListener("mbongi:theme", () => { for (const chart of charts) if (chart.data) chart.draw(); });

// Asks the server; on failure says so with a way to try again.
export async function load(url, charts_, apply) {
  try {
    const answer = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    apply(await answer.json());
  } catch {
    for (const chart of charts_) {
      chart.say(words.failed);
      const again = document.createElement("button");
      again.className = "button";
      again.type = "button";
      again.textContent = words.retry;
      again.addEventListener("click", () => load(url, charts_, apply));
      chart.node.firstChild.append(document.createElement("br"), again);
    }
  }
}
