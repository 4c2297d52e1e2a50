// Dialogs for what changes something: opened by any [data-dialog], filled by the server, closed after success.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (!opener) return;
  const dialog = document.getElementById(opener.dataset.dialog);
  if (dialog && !dialog.open) dialog.showModal();
});

// The server fills a dialog by htmx; it opens once there is something to read.
document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target ?? event.target;
  const dialog = target?.closest?.("dialog");
  if (dialog && !dialog.open) dialog.showModal();
  dialog?.querySelector("[autofocus]")?.focus();
});

// A part that renews itself waits while somebody writes in it or presses one of its buttons: else what is typed, or the
// press, is lost. (A filter in hx-trigger needs eval, which pages forbid.)
function wait(event) {
  const part = event.target;
  if (part.matches?.("[data-waits]") && part.querySelector("details[open], :active")) event.preventDefault();
}
document.addEventListener("htmx:before:request", wait);
document.addEventListener("htmx:before:swap", wait);

// Whatever was asked in it, the page behind shows the outcome.
document.addEventListener("close", (event) => {
  if (!event.target.querySelector?.("#action-body")) return;
  for (const part of document.querySelectorAll("[data-refresh]")) htmx.trigger(part, "refresh");
}, true);
