// Starts what a page asks for: theme, keyboard, ages, the live stream and the page's own module.
import { words, ago, span, now, scaled, number, isStale, paintState } from "./words.js";
import { setSince } from "./rows.js";
import * as live from "./live.js";
import "./actions.js";

const modules = { floor: "./floor.js", machine: "./machine.js", overview: "./overview.js", machines: "./rows.js", pool: "./pool.js", drift: "./drift.js", curtail: "./curtail.js", firmware: "./firmware.js", alarms: "./alarms.js", energy: "./energy.js", picture: "./picture.js" };
const page = document.querySelector("[data-page]");

// ---- theme
const themes = ["auto", "light", "dark"];
const icons = { auto: "#i-auto", light: "#i-sun", dark: "#i-moon" };
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("dark").media = theme === "dark" ? "all" : theme === "light" ? "not all" : "(prefers-color-scheme: dark)";
  document.cookie = `mbongi_theme=${theme};path=/;max-age=31536000;samesite=lax` + (location.protocol === "https:" ? ";secure" : "");
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.querySelector("use").setAttribute("href", icons[theme]);
    button.title = words.themes[theme];
  }
  dispatchEvent(new Event("mbongi:theme"));
}
function nextTheme() { setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]); }
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) { event.preventDefault(); nextTheme(); }
  if (event.target.closest("[data-help]")) document.getElementById("help").showModal();
  const close = event.target.closest("[data-close]");
  if (close) close.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement) event.target.close();
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard.writeText(document.querySelector(copy.dataset.copy).textContent.trim()).then(() => { copy.querySelector("span").textContent = words.copied; });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("mbongi:theme")));

// ---- keyboard
let after_g = 0;
const places = { o: "/", f: "/floor/", m: "/machines/", e: "/events/", b: "/pool/", n: "/alarms/", y: "/energy/", w: "/workshop/", l: "/ledger/", p: "/people/", t: "/tokens/", a: "/api/v1/docs/" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog[open]")) return;
  if (after_g && Date.now() - after_g < 1500 && document.querySelector(`a[href="${places[event.key]}"]`)) { location.href = places[event.key]; return; }
  after_g = event.key === "g" ? Date.now() : 0;
  if (event.key === "?") document.getElementById("help").showModal();
  else if (event.key === "t") nextTheme();
  else if (event.key === "/") {
    event.preventDefault();
    const search = document.querySelector("input[type=search]");
    if (search) search.focus(); else location.href = "/machines/?focus=search";
  }
});
if (new URLSearchParams(location.search).get("focus") === "search") document.querySelector("input[type=search]")?.focus();

// ---- ages keep counting; a reading that grows old looks old
function tick() {
  for (const node of document.querySelectorAll("time[data-age]")) {
    const text = ago(Date.parse(node.dateTime) / 1000);
    if (node.textContent !== text) node.textContent = text;
  }
  for (const node of document.querySelectorAll("[data-since]")) {
    const text = span(now() - Number(node.dataset.since));
    if (node.textContent !== text) node.textContent = text;
  }
  // Nobody has looked for too long: then nobody knows, whatever the last word was.
  for (const node of document.querySelectorAll("[data-state-place][data-read]")) {
    const read = Number(node.dataset.read);
    if (read && isStale(read) && paintState(node, 0)) setSince(node.closest("[data-machine]"), read);
  }
  for (const node of document.querySelectorAll("[data-at]")) node.classList.toggle("is-stale", isStale(Number(node.dataset.at)));
}
setInterval(tick, 1000);

// ---- figures of the whole site, wherever a page shows them
live.on("site", (site) => {
  for (const node of document.querySelectorAll("[data-site]")) {
    const value = site[node.dataset.site];
    if (node.dataset.unit) {
      const [text, unit] = scaled(value, node.dataset.unit);
      node.firstChild.textContent = text;
      node.querySelector(".unit").textContent = unit;
    } else node.textContent = number(value, Number(node.dataset.decimals || 0));
    node.dataset.at = site.newest_at || 0;
  }
  for (const node of document.querySelectorAll("[data-site-age]")) if (site.newest_at) node.dateTime = new Date(site.newest_at * 1000).toISOString();
  for (const node of document.querySelectorAll("[data-state-count]")) { node.textContent = number(site.states[node.dataset.stateCount]); node.parentElement.classList.toggle("none", !site.states[node.dataset.stateCount]); }
  for (const node of document.querySelectorAll("[data-alarm-count]")) { node.textContent = site.alarms; node.hidden = !site.alarms; }
  for (const node of document.querySelectorAll("[data-plant-count]")) { node.textContent = site.plant_alarms; node.hidden = !site.plant_alarms; }
  const banner = document.querySelector("[data-source-lost]");
  if (banner) banner.hidden = site.source_ok;
  const wrong = document.querySelector("[data-troubles]");
  if (wrong) {
    wrong.hidden = !site.troubles.length;
    wrong.querySelector("span").textContent = site.troubles.join(" ");
  }
  tick();
});

// Too far behind to catch up event by event.
live.on("reload", () => location.reload());

const start = page && modules[page.dataset.page] ? import(modules[page.dataset.page]).then((module) => module.start(page)) : Promise.resolve();
start.finally(() => { if (words.live) live.connect(page?.dataset.live || ""); });
