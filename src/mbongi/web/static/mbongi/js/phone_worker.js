// Keeps the phone's page and its files, so that it opens without a link. KEPT (release, urls) stands before this text.
const NAME = "mbongi-phone-" + KEPT.release;
const PAGE = "/workshop/phone/";

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(NAME);
    await cache.addAll(KEPT.urls.map((url) => new Request(url, { cache: "no-cache" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith("mbongi-phone-") && name !== NAME) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate" && url.pathname === PAGE) event.respondWith(page(event));
  else if (KEPT.urls.includes(url.pathname) && url.pathname !== PAGE) event.respondWith(file(event.request));
});

// What is kept at once; fresh words and colours are fetched behind it, for the next time.
async function page(event) {
  const cache = await caches.open(NAME);
  const kept = await cache.match(PAGE);
  const fresh = fetch(PAGE, { credentials: "same-origin" }).then(async (answer) => {
    // A page of another release needs files that this worker does not keep: its own worker keeps it.
    if (answer.ok && !answer.redirected && (await answer.clone().text()).includes(KEPT.release)) await cache.put(PAGE, answer.clone());
    return answer;
  });
  if (!kept) return fresh;
  event.waitUntil(fresh.catch(() => undefined));
  return kept;
}

async function file(request) {
  return (await caches.match(request)) || fetch(request);
}
