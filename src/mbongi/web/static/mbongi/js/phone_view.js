// Draws the technician's page from what the phone keeps. Texts are set as text, never as mark-up.
function fill(text, values) { return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole)); }

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== false));
  return node;
}

function chip(state, words) {
  const style = words.styles[state];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", "#i-s-" + style);
  svg.append(use);
  return make("span", { class: "chip s-" + style }, svg, words.states[state]);
}

const card = (title, ...content) => make("section", { class: "card" }, title ? make("header", {}, make("h2", {}, title)) : null, ...content);
const clock = (words) => new Intl.DateTimeFormat(words.language === "en" ? "en-GB" : words.language, { dateStyle: "short", timeStyle: "short" });

export function draw(page, state, words, acts) {
  drawStatus(page.querySelector("[data-phone-status]"), state, words, acts);
  const view = page.querySelector("[data-phone-view]");
  const { machine, position, order, key } = state.view;
  let parts;
  if (order || key) parts = orderView(state, words, acts);
  else if (machine || position) parts = machineView(state, words, acts);
  else parts = homeView(state, words, acts);
  if (state.note) parts.unshift(make("div", { class: "note", role: "status" }, state.note));
  const typed = state.isFresh ? [] : [...view.querySelectorAll("input, select, textarea")].map((one) => [one.id, one.value, one === page.activeElement, one.type === "textarea" ? one.selectionStart : null]);
  state.isFresh = false;
  view.replaceChildren(...parts.filter(Boolean));
  for (const [id, value, focused, caret] of typed) {
    const node = view.querySelector("#" + id);
    if (!node) continue;
    node.value = value;
    if (id === "find" && value) node.dispatchEvent(new Event("input"));
    if (focused) { node.focus(); if (caret !== null) node.setSelectionRange(caret, caret); }
  }
}

function drawStatus(node, state, words, acts) {
  const waiting = state.outbox.filter((one) => one.state === "waiting").length;
  const text = { online: words.online, offline: words.offline, "signed-out": words.signedOut }[state.link];
  node.dataset.is = state.link;
  node.dataset.waiting = waiting;
  node.replaceChildren(make("span", {}, text), ...[
    waiting ? make("span", { class: "chip s-warning" }, fill(words.nWaiting, { n: waiting })) : null,
    waiting && state.link !== "signed-out" ? make("button", { class: "button", type: "button", onclick: acts.sync }, words.send) : null,
    state.link === "signed-out" ? make("a", { class: "button", href: "/account/login/?next=/workshop/phone/" }, words.signIn) : null,
  ].filter(Boolean));
}

// ---- what the phone knows

const machines = (state) => (state.site?.machines || []).map(([id, name, model, serial, hall, rack, slot]) => ({ id, name, model, serial, hall, rack, slot }));

function machineOf(state) {
  const { machine, position } = state.view;
  if (machine) return machines(state).find((one) => one.id === machine);
  return machines(state).find((one) => [one.hall, one.rack, one.slot].join("-") === position);
}

// Orders as the site told, with what waits here laid over them; reports that wait are orders of their own.
function orders(state) {
  const me = state.site?.user.id;
  const known = (state.site?.orders || []).map((one) => ({ ...one, mine: one.technician === me && one.state === "taken", waiting: 0 }));
  const waiting = state.outbox.filter((one) => one.state === "waiting");
  for (const { entry } of waiting) {
    if (entry.kind === "report") known.unshift({ id: null, key: entry.key, machine: entry.machine_id, fault: entry.fault, state: "open", note: entry.text, technician_name: "", mine: true, waiting: 1 });
    const order = known.find((one) => (entry.order && one.id === entry.order) || (entry.order_key && one.key === entry.order_key));
    if (!order) continue;
    order.waiting += 1;
    if (entry.kind === "take") Object.assign(order, { state: "taken", technician: me, mine: true });
    if (entry.kind === "fix") Object.assign(order, { state: "fixed", technician: me, mine: false });
    if (entry.kind === "release") Object.assign(order, { state: "open", technician: null, mine: false });
  }
  return known;
}

// ---- views

function orderLine(order, state, words, acts) {
  const machine = machines(state).find((one) => one.id === order.machine);
  const search = order.id ? "?o=" + order.id : "?k=" + order.key;
  return make("li", {}, make("button", { type: "button", class: "line", onclick: () => acts.go(search) },
    make("span", { class: "title" }, `${machine ? machine.name : "#" + order.machine} · ${words.faults[order.fault]}`),
    order.note ? make("span", { class: "sub" }, order.note) : null,
    order.technician_name ? make("span", { class: "sub" }, order.technician_name) : null),
  make("span", { class: "row" }, order.waiting ? make("span", { class: "chip s-warning" }, words.waiting) : null, chip(order.state, words)));
}

function orderCard(title, list, state, words, acts) {
  return card(title, make("ul", { class: "list" }, ...(list.length ? list.map((one) => orderLine(one, state, words, acts)) : [make("li", { class: "muted" }, words.noOrders)])));
}

function homeView(state, words, acts) {
  const all = orders(state);
  const found = make("ul", { class: "list", "data-found": true });
  const search = make("input", { type: "search", id: "find", placeholder: words.searchHint, autocomplete: "off", oninput: () => {
    const text = search.value.trim().toLowerCase();
    const fits = text.length < 2 ? [] : machines(state).filter((one) => [one.name, one.serial, one.model].some((each) => each.toLowerCase().includes(text))).slice(0, 8);
    found.replaceChildren(...fits.map((one) => make("li", {}, make("button", { type: "button", class: "line", onclick: () => acts.go("?m=" + one.id) }, make("span", { class: "title" }, one.name), make("span", { class: "sub" }, `${one.model} · ${one.serial}`)))));
  } });
  const asOf = state.site ? fill(words.asOf, { time: clock(words).format(new Date(state.site.at)) }) : words.never;
  return [
    card("", make("div", { class: "body field" }, make("label", { for: "find" }, words.search), search, make("span", { class: "help" }, asOf)), found),
    orderCard(words.myOrders, all.filter((one) => one.mine), state, words, acts),
    orderCard(words.openOrders, all.filter((one) => !one.mine && one.state === "open").slice(0, 50), state, words, acts),
    outboxCard(state.outbox, state, words, acts),
  ];
}

function outboxCard(records, state, words, acts) {
  if (!records.length) return null;
  const mine = state.site?.user.id;
  const text = (one) => ({ waiting: one.user && mine && one.user !== mine ? fill(words.others, { name: one.userName }) : words.waiting, sent: words.sent, joined: words.joined, conflict: fill(words.conflict, one), refused: fill(words.refused, one) })[one.state];
  return card(words.entriesHere, make("ul", { class: "list", "data-outbox": true }, ...records.toReversed().map((one) => make("li", { "data-entry": one.state },
    make("span", {}, make("span", { class: "title" }, one.label), make("span", { class: "sub" }, `${clock(words).format(new Date(one.entry.at))} · ${text(one)}`), one.entry.text ? make("span", { class: "sub" }, one.entry.text) : null),
    ["conflict", "refused", "joined"].includes(one.state) ? make("button", { class: "button", type: "button", onclick: () => acts.dismiss(one.seq) }, words.dismiss) : null))));
}

const backButton = (words, acts) => make("button", { class: "button quiet", type: "button", onclick: () => acts.go("") }, "← " + words.back);

function machineView(state, words, acts) {
  const machine = machineOf(state);
  if (!machine) return [backButton(words, acts), make("div", { class: "note warning" }, state.site ? words.unknownMachine : words.never)];
  const own = orders(state).filter((one) => one.machine === machine.id);
  const fault = make("select", { id: "fault", required: true }, make("option", { value: "" }, ""), ...Object.entries(words.faults).map(([value, word]) => make("option", { value }, word)));
  const text = make("textarea", { id: "text", maxlength: 1000 });
  const form = make("form", { class: "body stack", onsubmit: async (event) => {
    event.preventDefault();
    await acts.keep({ kind: "report", machine_id: machine.id, fault: fault.value, text: text.value.trim() }, `${machine.name} · ${words.entries.report} · ${words.faults[fault.value]}`);
  } },
  make("div", { class: "field" }, make("label", { for: "fault" }, words.whatIsWrong), fault),
  make("div", { class: "field" }, make("label", { for: "text" }, words.whatSeen), text),
  make("button", { class: "button primary wide" }, words.report));
  return [
    backButton(words, acts),
    card(machine.name, make("div", { class: "body" }, make("dl", { class: "facts" }, make("dt", {}, words.model), make("dd", {}, machine.model || "–"), make("dt", {}, words.serial), make("dd", { class: "mono" }, machine.serial || "–")))),
    own.length ? orderCard(words.openOrders, own, state, words, acts) : null,
    card(words.report, form),
    outboxCard(state.outbox.filter((one) => one.entry.machine_id === machine.id && one.state !== "sent"), state, words, acts),
  ];
}

function orderView(state, words, acts) {
  const { order: number, key } = state.view;
  const sent = key && state.outbox.find((one) => one.entry.key === key && one.order);
  const order = orders(state).find((one) => (number && one.id === number) || (key && one.key === key) || (sent && one.id === sent.order));
  if (!order) return [backButton(words, acts), make("div", { class: "note" }, words.noOrders), outboxCard(state.outbox, state, words, acts)];
  const machine = machines(state).find((one) => one.id === order.machine);
  const name = machine ? machine.name : "#" + order.machine;
  const about = order.id ? { order: order.id } : { order_key: order.key };
  const text = make("textarea", { id: "text", maxlength: 1000 });
  const act = (kind, word, style = "") => make("button", { class: "button " + style, type: "button", "data-act": kind, onclick: async () => {
    if (kind === "note" && !text.value.trim()) { text.focus(); text.setAttribute("placeholder", words.needText); return; }
    await acts.keep({ kind, ...about, text: text.value.trim() }, `${name} · ${words.entries[kind]}`);
  } }, word);
  const buttons = [];
  if (order.state === "open") buttons.push(act("take", words.take, "primary"));
  if (order.state === "open" || order.mine) buttons.push(act("fix", words.fix, order.mine ? "primary" : ""));
  buttons.push(act("note", words.note));
  if (order.state === "taken" && order.mine) buttons.push(act("release", words.release));
  return [
    backButton(words, acts),
    card(`${name} · ${words.faults[order.fault]}`, make("div", { class: "body stack" },
      make("div", { class: "row" }, chip(order.state, words), make("span", { class: "muted" }, order.id ? fill(words.order, { n: order.id }) : words.newOrder), order.technician_name ? make("span", { class: "muted" }, order.technician_name) : null),
      order.note ? make("p", {}, order.note) : null,
      make("div", { class: "field" }, make("label", { for: "text" }, words.whatSeen), text),
      make("div", { class: "row even" }, ...buttons))),
    partCard(state, words, acts, about, name),
    outboxCard(state.outbox.filter((one) => (order.id && (one.entry.order === order.id || one.order === order.id)) || (order.key && (one.entry.order_key === order.key || one.entry.key === order.key))), state, words, acts),
  ];
}

function partCard(state, words, acts, about, name) {
  const parts = state.site?.parts || [];
  if (!parts.length) return null;
  const part = make("select", { id: "part" }, ...parts.map(([number, label, stock]) => make("option", { value: number }, `${label} · ${fill(words.inStock, { n: stock })}`)));
  const pieces = make("input", { id: "pieces", type: "number", value: 1, min: 1, max: 1000, inputmode: "numeric" });
  return card(words.usePart, make("form", { class: "body stack", onsubmit: async (event) => {
    event.preventDefault();
    await acts.keep({ kind: "part", ...about, part: part.value, pieces: Number(pieces.value) }, `${name} · ${words.entries.part} · ${part.value} × ${pieces.value}`);
  } }, make("div", { class: "work-part" }, make("div", { class: "field" }, make("label", { for: "part" }, words.part), part), make("div", { class: "field" }, make("label", { for: "pieces" }, words.pieces), pieces)),
  make("button", { class: "button wide" }, words.usePart)));
}
