// What the phone keeps: the site as it was last told, and entries until the site has them. In IndexedDB, which survives
// a closed browser and an empty battery once a transaction is complete.
let opened = null;

function open() {
  opened ||= new Promise((resolve, reject) => {
    const asked = indexedDB.open("mbongi-phone", 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("site");
      asked.result.createObjectStore("outbox", { keyPath: "seq", autoIncrement: true });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => { opened = null; reject(asked.error); };
  });
  return opened;
}

// One transaction on a store; resolves with the request's result once everything is on disk.
async function within(store, mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(store, mode, mode === "readwrite" ? { durability: "strict" } : undefined);
    const request = act(transaction.objectStore(store));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

export const site = () => within("site", "readonly", (store) => store.get("site"));
export const keepSite = (value) => within("site", "readwrite", (store) => store.put(value, "site"));
export const outbox = () => within("outbox", "readonly", (store) => store.getAll());
export const add = (record) => within("outbox", "readwrite", (store) => store.add(record));
export const remove = (seq) => within("outbox", "readwrite", (store) => store.delete(seq));

// Writes what became of entries, all at once, and forgets the oldest that arrived.
export async function settle(records) {
  await within("outbox", "readwrite", (store) => { for (const record of records) store.put(record); });
  const arrived = (await outbox()).filter((record) => record.state === "sent");
  for (const record of arrived.slice(0, -20)) await remove(record.seq);
}

// A random (version 4) UUID: crypto.randomUUID is missing where the page was opened without TLS.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
