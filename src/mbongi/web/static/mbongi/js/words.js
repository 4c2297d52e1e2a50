// Words in the reader's language, figures as the server writes them: same steps, same decimals.
const node = document.getElementById("words");
export const words = node ? JSON.parse(node.textContent) : {};
export const language = document.documentElement.lang || "fr";
export const NOTHING = "–";
const THIN = "\u202f";
const STALE_S = words.staleS || 45;
const steps = {
  "TH/s": [[1e6, "EH/s"], [1e3, "PH/s"], [1, "TH/s"], [1e-3, "GH/s"]],
  W: [[1e6, "MW"], [1e3, "kW"], [1, "W"]],
  "H/s": [[1e18, "EH/s"], [1e15, "PH/s"], [1e12, "TH/s"], [1e9, "GH/s"], [1e6, "MH/s"], [1e3, "kH/s"], [1, "H/s"]],
  "": [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]],
};
const formats = new Map();

export function fill(text, values) {
  return (text || "").replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export function number(value, decimals = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat(language, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    formats.set(decimals, format);
  }
  return format.format(value);
}

export function withUnit(value, unit, decimals = 0) {
  const text = number(value, decimals);
  return text === NOTHING || !unit ? text : text + THIN + unit;
}

// The step of a unit in which a figure reads best: its size and its name.
export function stepOf(value, unit) {
  let step = [1, unit];
  for (step of steps[unit] || [[1, unit]]) if (Math.abs(value) >= step[0]) break;
  return step;
}

// Two behind the point, fewer for large figures, and of small ones as many as show two digits.
function decimalsOf(shown) {
  if (shown > 0 && shown < 0.1) return Math.min(1 - Math.floor(Math.log10(shown)), 9);
  return shown >= 1000 ? 0 : shown >= 100 ? 1 : 2;
}

// Zeros are hard to count.
function power(value) {
  const exponent = Math.floor(Math.log10(value));
  return number(value / 10 ** exponent, 1) + "×10" + [...String(exponent)].map((one) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(one)]).join("");
}

export function scaled(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return [NOTHING, unit];
  if (!unit && value > 0 && value < 0.001) return [power(value), ""];
  const [size, name] = stepOf(value, unit);
  const shown = value / size;
  const decimals = unit === "W" && name === "W" ? 0 : decimalsOf(Math.abs(shown));
  return [number(shown, decimals), name];
}

export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return fill(words.seconds, { n: Math.floor(s) });
  if (s < 5400) return fill(words.minutes, { n: Math.floor(s / 60) });
  if (s < 129600) return fill(words.hours, { n: Math.floor(s / 3600) });
  return fill(words.days, { n: Math.floor(s / 86400) });
}

// The server's clock, learnt from the stream: a phone that is five minutes slow must not call fresh figures old.
let skew = 0;
export function tellServerTime(seconds) { skew = seconds - Date.now() / 1000; }
export function now() { return Date.now() / 1000 + skew; }
export function isStale(at) { return !at || now() - at > STALE_S; }
export function ago(at) { return fill(words.ago, { age: span(now() - at) }); }

export function svgUse(id, className) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#" + id);
  svg.append(use);
  return svg;
}

export function stateName(state) { return (words.stateNames || {})[state] || "unknown"; }

export function paintState(place, state) {
  const name = stateName(state);
  if (place.dataset.state === name) return false;
  place.dataset.state = name;
  const mark = document.createElement("span");
  mark.className = (place.dataset.chip ? "chip" : "state") + " s-" + name;
  const label = document.createElement("span");
  label.textContent = words.states[state];
  mark.append(svgUse("i-s-" + name), label);
  place.replaceChildren(mark);
  return true;
}
