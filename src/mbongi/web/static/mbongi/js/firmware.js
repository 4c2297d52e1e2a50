// Uploading an image: how far it is, and why it was refused, without leaving the page.
export function start(page) {
  const form = page.querySelector("[data-upload]");
  if (!form) return;
  const bar = form.querySelector("[data-progress]");
  const refusal = form.querySelector("[data-refusal]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const button = form.querySelector("button.primary");
    button.disabled = true;
    refusal.hidden = true;
    bar.hidden = false;
    request.upload.addEventListener("progress", (told) => {
      if (!told.lengthComputable) return;
      const percent = Math.floor((100 * told.loaded) / told.total);
      bar.querySelector("progress").value = percent;
      bar.querySelector("[data-percent]").textContent = `${percent} %`;
    });
    const over = (text) => {
      button.disabled = false;
      bar.hidden = true;
      refusal.textContent = text;
      refusal.hidden = false;
    };
    request.addEventListener("load", () => {
      // The page with the note of success is left to the browser: fetched here, the note would be gone.
      if (request.status < 400) { location.assign(request.getResponseHeader("Location") || request.responseURL); return; }
      const answer = new DOMParser().parseFromString(request.responseText, "text/html");
      over(answer.querySelector("[data-refusal]")?.textContent || `HTTP ${request.status}`);
    });
    request.addEventListener("error", () => over(form.dataset.lost || "–"));
    request.open("POST", form.action);
    request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
    request.send(new FormData(form));
  });
}
