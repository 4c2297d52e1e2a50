// The floor map: halls, racks and slots on one canvas, thousands of machines in one pass, every cell reachable by key.
import * as live from "./live.js";
import { ago, fill, isStale, now, scaled, stateName, svgUse, withUnit, words } from "./words.js";

// Calm where all is well, loud where it is not; blue to orange-red is told apart by every kind of colour vision.
const SCALES = {
  health: ["#a92b1a", "#d95f2b", "#eda35c", "#b9cdb6", "#5fae9f", "#16857a"],
  cool: ["#dcebe8", "#a6d3cb", "#66b3a8", "#2b8f83", "#0b6e66", "#06443f"],
  cool_dark: ["#12312d", "#1a4f49", "#237067", "#2f9589", "#4fc9bb", "#a5ece3"],
  warm: ["#2f5f9e", "#6f9cc4", "#b9cbd3", "#f0c27a", "#e4814a", "#b3312c"],
};
const SIZES = [[150, 76, 34], [700, 46, 24], [2200, 26, 16], [Infinity, 17, 12]];
const SIDE_MAX = 16000;
const AREA_MAX = 16e6;
const GAP = 3;
const HALL_HEAD = 30;
const RACK_HEAD = 18;

export async function start(page) {
  const map = new FloorMap(page);
  try {
    const answer = await fetch("/floor/layout.json", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    map.setLayout(await answer.json());
  } catch {
    map.fail();
    return;
  }
  live.on("machines", (columns) => map.update(columns));
  setInterval(() => map.paint(), 5000);
  addEventListener("mbongi:theme", () => map.readTheme());
}

class FloorMap {
  constructor(page) {
    this.page = page;
    this.canvas = page.querySelector("canvas[data-map]");
    this.card = page.querySelector("[data-card]");
    this.spoken = page.querySelector("[data-spoken]");
    this.pick = page.querySelector("select[name=measure]");
    this.measures = JSON.parse(document.getElementById("measures").textContent);
    this.cells = [];
    this.heard = false;
    this.byId = new Map();
    this.chosen = -1;
    this.pinned = false;
    this.measure = this.pick.value;
    this.pick.addEventListener("change", () => this.setMeasure(this.pick.value));
    new ResizeObserver(() => { this.place(); this.paint(); }).observe(this.canvas.parentElement);
    this.listen();
    this.readTheme();
  }

  readTheme() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue("--" + name).trim();
    this.theme = { ink: of("ink"), ink2: of("ink-2"), ink3: of("ink-3"), line: of("line"), strong: of("line-strong"), sunken: of("sunken"), surface: of("surface"), accent: of("accent") };
    for (const state of ["mining", "sleeping", "starting", "off", "unknown", "fault"]) { this.theme[state] = of(state); this.theme[state + "-soft"] = of(state + "-soft"); }
    this.isDark = parseInt(this.theme.surface.slice(1, 3), 16) < 128;
    this.paint();
    this.paintLegend();
  }

  tone(measure, share) {
    return toneOf(this.isDark && SCALES[measure.palette + "_dark"] ? measure.palette + "_dark" : measure.palette, share);
  }

  setLayout(layout) {
    for (let i = 0; i < layout.id.length; i += 1) {
      const cell = { id: layout.id[i], hall: layout.hall[i], rack: layout.rack[i], slot: layout.slot[i], name: layout.name[i], model: layout.model[i], state: layout.state[i], since: layout.since[i], at: 0, x: 0, y: 0 };
      this.cells.push(cell);
      this.byId.set(cell.id, cell);
    }
    this.page.querySelector("[data-wait]").hidden = true;
    this.page.querySelector("[data-none]").hidden = this.cells.length > 0;
    this.canvas.hidden = this.cells.length === 0;
    this.place();
    this.paint();
    this.paintLegend();
  }

  fail() {
    this.page.querySelector("[data-wait]").textContent = words.failed;
  }

  update(columns) {
    this.heard = true;
    for (let i = 0; i < columns.id.length; i += 1) {
      const cell = this.byId.get(columns.id[i]);
      if (!cell) continue;
      cell.at = columns.at[i];
      if (cell.state !== columns.state[i]) cell.since = columns.since[i];
      cell.state = columns.state[i];
      for (const name of Object.keys(this.measures)) if (columns[name]) cell[name] = columns[name][i];
    }
    this.paint();
    this.paintLegend();
    if (this.chosen >= 0 && !this.card.hidden) this.fillCard(this.cells[this.chosen]);
  }

  setMeasure(name) {
    this.measure = name;
    const url = new URL(location.href);
    url.searchParams.set("measure", name);
    history.replaceState(null, "", url);
    this.paint();
    this.paintLegend();
  }

  // Halls below each other, racks side by side and wrapped, slots top down: as one sees them when walking.
  place() {
    const width = this.canvas.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(this.canvas.parentElement).paddingLeft);
    if (width <= 0 || !this.cells.length) return;
    const [, wanted, height] = SIZES.find(([most]) => this.cells.length <= most);
    const halls = new Map();
    for (const cell of this.cells) {
      const hall = halls.get(cell.hall) || halls.set(cell.hall, new Map()).get(cell.hall);
      (hall.get(cell.rack) || hall.set(cell.rack, []).get(cell.rack)).push(cell);
    }
    const gap = wanted >= 40 ? 10 : 5;
    const columns = Math.max(1, Math.floor((width + gap) / (wanted + gap)));
    const most = Math.max(...[...halls.values()].map((racks) => racks.size));
    const w = Math.min(wanted * 2.8, Math.max(wanted, Math.floor((width + gap) / Math.min(columns, most)) - gap));
    this.cell = { w, h: height };
    this.heads = [];
    let y = 0;
    for (const [hall, racks] of halls) {
      this.heads.push({ text: hall === null ? words.nowhere : fill(words.hall, { n: hall }), x: 0, y: y + 18, big: true });
      y += HALL_HEAD;
      let column = 0;
      let tall = 0;
      for (const [rack, cells] of racks) {
        if (column === columns) { column = 0; y += tall + 14; tall = 0; }
        const x = column * (w + gap);
        const label = rack === null ? "" : w >= 60 ? fill(words.rack, { n: rack }) : String(rack);
        this.heads.push({ text: label, x, y: y + 11, big: false });
        cells.forEach((cell, i) => {
          cell.x = x;
          cell.y = y + RACK_HEAD + i * (height + GAP);
          cell.column = column;
        });
        tall = Math.max(tall, RACK_HEAD + cells.length * (height + GAP));
        column += 1;
      }
      y += tall + 18;
    }
    this.width = width;
    this.height = Math.max(60, y);
    this.paintHalls();
    // Browsers draw nothing on a canvas that is too large: with ten thousand machines on a phone it is coarser instead.
    this.ratio = Math.min(devicePixelRatio || 1, SIDE_MAX / this.height, SIDE_MAX / width, Math.sqrt(AREA_MAX / (width * this.height)));
    const ratio = this.ratio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.canvas.style.height = this.height + "px";
  }

  value(cell) { return this.measure === "age_s" ? (cell.at ? now() - cell.at : null) : cell[this.measure] ?? null; }

  range() {
    const measure = this.measures[this.measure];
    if (!measure) return [0, 1];
    let high = measure.high;
    if (high === null) {
      high = 0;
      for (const cell of this.cells) { const value = this.value(cell); if (value !== null && value > high) high = value; }
      high ||= 1;
    }
    return [measure.low ?? 0, high];
  }

  paint() {
    if (!this.cells.length || !this.cell || !this.theme) return;
    const pen = this.canvas.getContext("2d");
    const ratio = this.ratio;
    const { w, h } = this.cell;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    for (const head of this.heads) {
      pen.font = head.big ? "600 14px system-ui, sans-serif" : "12px system-ui, sans-serif";
      pen.fillStyle = head.big ? this.theme.ink : this.theme.ink3;
      pen.fillText(head.text, head.x, head.y);
    }
    const [low, high] = this.range();
    const byState = this.measure === "state";
    const measure = this.measures[this.measure];
    pen.textBaseline = "middle";
    this.cells.forEach((cell, i) => {
      const stale = this.heard && isStale(cell.at);
      const state = stale ? "unknown" : stateName(cell.state);
      const value = byState ? null : this.value(cell);
      const shown = !byState && value !== null && (!stale || this.measure === "age_s") && state !== "unknown" && (state !== "off" || this.measure === "age_s");
      let ink;
      if (shown) {
        const tone = this.tone(measure, (value - low) / (high - low || 1));
        pen.fillStyle = tone.css;
        ink = tone.dark ? "#ffffff" : "#101715";
      } else {
        pen.fillStyle = this.theme[state + "-soft"] || this.theme.sunken;
        ink = this.theme[state] || this.theme.ink3;
      }
      box(pen, cell.x, cell.y, w, h, 3);
      pen.fill();
      if (!shown) this.mark(pen, cell, state, ink, stale);
      else if (w >= 40) {
        pen.fillStyle = ink;
        pen.font = "12px system-ui, sans-serif";
        pen.fillText(shortText(value, measure, w), cell.x + 6, cell.y + h / 2 + 0.5, w - 10);
        if (state !== "mining") glyph(pen, state, cell.x + w - 11, cell.y + h / 2, 4, ink);
      } else if (state === "fault") { pen.strokeStyle = this.theme.fault; pen.lineWidth = 2; pen.stroke(); }
      if (i === this.chosen) {
        pen.strokeStyle = this.theme.ink;
        pen.lineWidth = 2.5;
        box(pen, cell.x - 1.5, cell.y - 1.5, w + 3, h + 3, 4);
        pen.stroke();
      }
    });
    pen.textBaseline = "alphabetic";
  }

  mark(pen, cell, state, ink, stale) {
    const { w, h } = this.cell;
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    if (state === "unknown") pen.setLineDash([3, 2]);
    box(pen, cell.x + 0.5, cell.y + 0.5, w - 1, h - 1, 3);
    pen.stroke();
    pen.setLineDash([]);
    const size = Math.min(5, h / 3.2);
    const wide = w >= 66;
    glyph(pen, state, wide ? cell.x + 12 : cell.x + w / 2, cell.y + h / 2, size, ink);
    if (wide) {
      pen.fillStyle = ink;
      pen.font = "12px system-ui, sans-serif";
      pen.fillText(words.states[state === "unknown" ? 0 : cell.state], cell.x + 22, cell.y + h / 2 + 0.5, w - 26);
    }
  }

  // A way to each hall where the map is longer than a few screens.
  paintHalls() {
    const place = this.page.querySelector("[data-halls]");
    const halls = this.heads.filter((head) => head.big);
    place.hidden = halls.length < 2 || this.height < 1600;
    place.replaceChildren(...(place.hidden ? [] : halls).map((head) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button";
      button.textContent = head.text;
      button.addEventListener("click", () => scrollTo({ top: scrollY + this.canvas.getBoundingClientRect().top + head.y - 100 }));
      return button;
    }));
  }

  paintLegend() {
    const place = this.page.querySelector("[data-legend]");
    if (!place || !this.theme) return;
    place.replaceChildren();
    if (this.measure !== "state") {
      const measure = this.measures[this.measure];
      const [low, high] = this.range();
      const scale = document.createElement("span");
      scale.className = "scale";
      const bar = document.createElement("canvas");
      bar.width = 180;
      bar.height = 12;
      const pen = bar.getContext("2d");
      for (let x = 0; x < 180; x += 1) { pen.fillStyle = this.tone(measure, x / 179).css; pen.fillRect(x, 0, 1, 12); }
      scale.append(legendText(low, measure), bar, legendText(high, measure));
      place.append(scale);
    }
    const counts = {};
    for (const cell of this.cells) { const state = this.heard && isStale(cell.at) ? 0 : cell.state; counts[state] = (counts[state] || 0) + 1; }
    for (const state of [2, 3, 4, 1, 0, 5]) {
      if (!counts[state]) continue;
      const name = stateName(state);
      const item = document.createElement("span");
      item.className = "state s-" + name;
      item.append(svgUse("i-s-" + name), `${words.states[state]} ${counts[state]}`);
      place.append(item);
    }
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" && !this.pinned) this.choose(this.at(event), false); });
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !this.pinned) this.choose(-1, false); });
    canvas.addEventListener("click", (event) => {
      const i = this.at(event);
      if (i >= 0 && event.pointerType === "mouse") this.open(i); else this.choose(i, true);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => { if (this.chosen < 0 && canvas.matches(":focus-visible")) this.choose(0, true); });
    canvas.addEventListener("blur", () => { if (!this.card.matches(":hover")) this.choose(-1, false); });
  }

  at(event) {
    const edge = this.canvas.getBoundingClientRect();
    const x = event.clientX - edge.left;
    const y = event.clientY - edge.top;
    return this.cells.findIndex((cell) => x >= cell.x && x < cell.x + this.cell.w + GAP && y >= cell.y && y < cell.y + this.cell.h + GAP);
  }

  key(event) {
    const from = this.cells[Math.max(0, this.chosen)];
    if (!from) return;
    if (event.key === "Enter") { this.open(Math.max(0, this.chosen)); return; }
    if (event.key === "Escape") { this.choose(-1, false); return; }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    let best = -1;
    let least = Infinity;
    this.cells.forEach((cell, i) => {
      const [dx, dy] = [cell.x - from.x, cell.y - from.y];
      const along = dx * way[0] + dy * way[1];
      const across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      const far = along + across * 4;
      if (along > 1 && far < least) { least = far; best = i; }
    });
    if (best >= 0) this.choose(best, true);
  }

  open(i) { location.href = `/machines/${this.cells[i].id}/`; }

  choose(i, pinned) {
    this.pinned = pinned && i >= 0;
    this.card.classList.toggle("pinned", this.pinned);
    if (i === this.chosen && this.card.hidden === i < 0) return;
    this.chosen = i;
    this.card.hidden = i < 0;
    this.canvas.style.cursor = i < 0 ? "" : "pointer";
    this.paint();
    if (i < 0) return;
    const cell = this.cells[i];
    this.fillCard(cell);
    const inset = parseFloat(getComputedStyle(this.canvas.parentElement).paddingLeft);
    const left = cell.x + this.cell.w + 12 + 264 > this.width ? cell.x - 264 - 12 : cell.x + this.cell.w + 12;
    this.card.style.left = Math.max(0, left + inset) + "px";
    this.card.style.top = Math.max(0, Math.min(cell.y, this.height - this.card.offsetHeight)) + "px";
    if (pinned) {
      const measure = this.measures[this.measure];
      this.spoken.textContent = fill(words.asks, { machine: cell.name, state: words.states[cell.state], value: measure ? withUnit(this.value(cell), measure.unit, measure.decimals) : "" });
      const edge = this.canvas.getBoundingClientRect();
      const y = edge.top + cell.y;
      if (y < 80 || y + this.cell.h > innerHeight - 90) scrollBy({ top: y - innerHeight / 2 });
    }
  }

  fillCard(cell) {
    const head = document.createElement("a");
    head.href = `/machines/${cell.id}/`;
    head.className = "strong";
    head.textContent = cell.name;
    const name = stateName(cell.state);
    const state = document.createElement("span");
    state.className = "state s-" + name;
    state.append(svgUse("i-s-" + name), words.states[cell.state]);
    const sub = document.createElement("span");
    sub.className = "muted";
    sub.textContent = [cell.model, cell.at ? ago(cell.at) : words.noReading].filter(Boolean).join(" · ");
    const facts = document.createElement("dl");
    for (const one of ["hashrate_ths", "power_w", "efficiency_jth", "chip_temp_max_c", "fan_rpm"]) {
      const measure = this.measures[one];
      const dt = document.createElement("dt");
      dt.textContent = measure.label;
      const dd = document.createElement("dd");
      dd.textContent = withUnit(cell[one] ?? null, measure.unit, measure.decimals);
      dd.classList.toggle("is-stale", cell.at > 0 && isStale(cell.at));
      facts.append(dt, dd);
    }
    this.card.replaceChildren(head, state, sub, facts);
  }
}

function legendText(value, measure) {
  const [text, unit] = measure.unit === "TH/s" || measure.unit === "W" ? scaled(value, measure.unit) : [withUnit(value, "", measure.decimals > 1 ? 1 : 0), measure.unit];
  return document.createTextNode(`${text}\u202f${unit}`);
}

function shortText(value, measure, width) {
  if (measure.unit === "TH/s" || measure.unit === "W") { const [text, unit] = scaled(value, measure.unit); return width >= 60 ? text + "\u202f" + unit : text; }
  return withUnit(value, width >= 60 ? measure.unit : "", measure.decimals);
}

function toneOf(palette, share) {
  const stops = SCALES[palette] || SCALES.cool;
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const mix = [1, 3, 5].map((from) => {
    const a = parseInt(stops[i].slice(from, from + 2), 16);
    const b = parseInt(stops[i + 1].slice(from, from + 2), 16);
    return Math.round(a + (b - a) * (at - i));
  });
  return { css: `rgb(${mix.join(" ")})`, dark: 0.299 * mix[0] + 0.587 * mix[1] + 0.114 * mix[2] < 140 };
}

function box(pen, x, y, w, h, r) { pen.beginPath(); pen.roundRect(x, y, w, h, r); }

// The same shapes as in words and tables: disc, moon, triangle, ring, diamond, cross.
function glyph(pen, state, x, y, r, ink) {
  pen.fillStyle = ink;
  pen.strokeStyle = ink;
  pen.lineWidth = 1.6;
  pen.beginPath();
  if (state === "mining") { pen.arc(x, y, r, 0, 7); pen.fill(); }
  else if (state === "off") { pen.arc(x, y, r, 0, 7); pen.stroke(); }
  else if (state === "starting") { pen.moveTo(x, y - r); pen.lineTo(x + r, y + r); pen.lineTo(x - r, y + r); pen.closePath(); pen.fill(); }
  else if (state === "sleeping") { pen.arc(x, y, r, 0.9, 5.1); pen.quadraticCurveTo(x - r * 0.3, y, x + r * 0.62, y + r * 0.78); pen.fill(); }
  else if (state === "unknown") { pen.moveTo(x, y - r); pen.lineTo(x + r, y); pen.lineTo(x, y + r); pen.lineTo(x - r, y); pen.closePath(); pen.stroke(); }
  else { pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r); pen.stroke(); }
}
