// Pictures of the plant: they begin at their topmost box, and stay where they were scrolled to when they are drawn anew.

const frame = (page) => page.querySelector(".picture");

export function start(page) {
  const card = frame(page), heightOf = (node) => node.getBoundingClientRect().top;
  const first = [...(card?.querySelectorAll(".box") ?? [])].reduce((high, one) => (high && heightOf(high) <= heightOf(one) ? high : one), null);
  if (first) {
    const box = first.getBoundingClientRect(), around = card.getBoundingClientRect();
    card.scrollLeft += box.left + box.width / 2 - around.left - around.width / 2;
  }
  let left = 0, top = 0;
  page.addEventListener("htmx:beforeSwap", () => { if (frame(page)) ({ scrollLeft: left, scrollTop: top } = frame(page)); });
  page.addEventListener("htmx:afterSettle", () => frame(page)?.scrollTo(left, top));
}
