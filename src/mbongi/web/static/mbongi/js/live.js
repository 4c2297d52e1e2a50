// The stream of what changes. EventSource reconnects by itself; a watch notices a stream that went silent.
import { words, tellServerTime } from "./words.js";

const SILENCE_MS = 25000;
const RETRY_MS_MAX = 15000;
const listeners = { site: [], machines: [], event: [], pool: [], reload: [] };
let source = null;
let heard = 0;
let retry = 1000;
let waiting = 0;
let query = "";

export function on(name, listener) { listeners[name].push(listener); }

export function connect(search) {
  query = search;
  open();
  setInterval(watch, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
  addEventListener("online", () => reopen(0));
  addEventListener("pagehide", () => source && source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) reopen(0); });
}

function open() {
  waiting = 0;
  source = new EventSource("/live" + (query ? "?" + query : ""));
  heard = Date.now();
  source.onopen = () => { retry = 1000; };
  source.onerror = () => {
    show("lost");
    // A refusal (signed out, server restarting) closes the source for good; then we try again ourselves.
    if (source.readyState === EventSource.CLOSED) reopen(retry);
  };
  source.addEventListener("beat", (event) => { arrived(); tellServerTime(JSON.parse(event.data).at); });
  for (const name of Object.keys(listeners)) {
    source.addEventListener(name, (event) => {
      arrived();
      const content = JSON.parse(event.data);
      if (content.now) tellServerTime(content.now);
      for (const listener of listeners[name]) listener(content);
    });
  }
}

function reopen(delay) {
  if (waiting) clearTimeout(waiting);
  if (source) source.close();
  retry = Math.min(RETRY_MS_MAX, retry * 1.7);
  waiting = setTimeout(open, delay);
}

function arrived() { heard = Date.now(); show("live"); }

function watch() {
  if (waiting || Date.now() - heard < SILENCE_MS) return;
  show("lost");
  reopen(0);
}

function show(is) {
  for (const pulse of document.querySelectorAll("[data-pulse]")) {
    if (pulse.dataset.is === is) continue;
    pulse.dataset.is = is;
    pulse.querySelector("[data-pulse-text]").textContent = words[is];
  }
  const banner = document.querySelector("[data-lost]");
  if (banner) banner.hidden = is !== "lost";
}
