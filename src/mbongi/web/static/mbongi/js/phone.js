// The technician's page: entries are kept on the phone first and handed in when there is a link. Each has a key made
// here, so that the site keeps it once however often it arrives.
import * as store from "./phone_store.js";
import { draw } from "./phone_view.js";

const PART = 50;
const AGAIN_MS = 15000;
const LIMIT_MS = 20000;
const words = JSON.parse(document.getElementById("words").textContent);
const state = { site: null, outbox: [], link: "offline", isFresh: true, view: viewOf(location), note: "" };

function viewOf(place) {
  const query = new URLSearchParams(place.search);
  return { machine: Number(query.get("m")) || null, position: query.get("p"), order: Number(query.get("o")) || null, key: query.get("k") };
}

function go(search) {
  history.pushState(null, "", "/workshop/phone/" + search);
  state.view = viewOf(location);
  state.note = "";
  state.isFresh = true;
  show();
  scrollTo(0, 0);
}

function show() { draw(document, state, words, { go, keep, sync, dismiss }); }

async function read() {
  [state.site, state.outbox] = [(await store.site()) || null, await store.outbox()];
}

// Keeps an entry, then tries to hand it in. Nothing is said to be kept before it is on disk.
async function keep(entry, label) {
  const user = state.site?.user;
  const record = { user: user?.id ?? 0, userName: user?.name ?? "", label, state: "waiting", why: "", order: entry.order ?? null, entry: { ...entry, key: store.newKey(), at: new Date().toISOString() } };
  try {
    await store.add(record);
  } catch {
    state.note = words.notKept;
    show();
    return;
  }
  await read();
  state.note = words.kept;
  state.isFresh = true;
  show();
  sync();
}

async function dismiss(seq) {
  await store.remove(seq);
  await read();
  show();
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(LIMIT_MS), headers: { Accept: "application/json", ...options.headers }, ...options });
  if (answer.status === 401 || answer.status === 403) throw new SignedOut();
  return answer;
}

class SignedOut extends Error {}

async function fetchSite() {
  const answer = await ask("/workshop/phone/site.json");
  if (!answer.ok) throw new Error(String(answer.status));
  const site = await answer.json();
  await store.keepSite(site);
  state.site = site;
  return site;
}

let isBusy = false;

// One window at a time hands in; two at once would do no harm, since keys tell entries apart.
async function sync() {
  if (isBusy) return;
  isBusy = true;
  try {
    const lock = navigator.locks ? (act) => navigator.locks.request("mbongi-phone", act) : (act) => act();
    await lock(handIn);
    state.link = "online";
  } catch (error) {
    state.link = error instanceof SignedOut ? "signed-out" : "offline";
  } finally {
    isBusy = false;
  }
  await read();
  show();
}

async function handIn() {
  const site = await fetchSite();
  await read();
  let sent = 0;
  for (;;) {
    const waiting = (await store.outbox()).filter((one) => one.state === "waiting" && (one.user === site.user.id || !one.user)).slice(0, PART);
    if (!waiting.length) break;
    await handInPart(waiting, site);
    sent += waiting.length;
  }
  if (sent) await fetchSite();
}

async function handInPart(waiting, site) {
  const body = JSON.stringify({ sent_at: new Date().toISOString(), entries: waiting.map((one) => one.entry) });
  const answer = await ask("/workshop/phone/entries.json", { method: "POST", body, headers: { "Content-Type": "application/json", "X-CSRFToken": site.csrf } });
  if (answer.status === 400 || answer.status === 413) {
    // One entry that cannot be read must not keep the others back.
    if (waiting.length > 1) { for (const one of waiting) await handInPart([one], site); return; }
    await store.settle([{ ...waiting[0], state: "refused", why: (await answer.json()).detail || String(answer.status) }]);
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const receipts = new Map((await answer.json()).receipts.map((receipt) => [receipt.key, receipt]));
  await store.settle(waiting.map((one) => outcome(one, receipts.get(one.entry.key))).filter(Boolean));
}

function outcome(record, receipt) {
  if (!receipt) return null;
  if (receipt.refused) return { ...record, state: "refused", why: receipt.refused };
  if (receipt.clash) return { ...record, state: "conflict", why: words.clashes[receipt.clash], order: receipt.order };
  return { ...record, state: receipt.outcome === "joined" ? "joined" : "sent", why: "", order: receipt.order };
}

addEventListener("popstate", () => { state.view = viewOf(location); state.note = ""; state.isFresh = true; show(); });
addEventListener("online", sync);
addEventListener("offline", () => { state.link = "offline"; show(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) sync(); });
setInterval(() => { if (!document.hidden) sync(); }, AGAIN_MS);

await read().catch(() => undefined);
show();
navigator.serviceWorker?.register("/workshop/phone/worker.js").catch(() => undefined);
navigator.storage?.persist?.().catch(() => undefined);
sync();
