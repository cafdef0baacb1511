/**
 * Toasts: Django's messages are in the page; htmx responses add theirs by HX-Trigger:
 * {"toast": {"text": "Saved", "tone": "good" | "bad"}}. Errors stay until closed, the rest leave.
 * While a dialog is open they stand in it: what is outside lies under its backdrop, and nobody can read or close it.
 */
const STAY_MS = 6000;
// The page is sent to the sign-in (401), or says itself what is wrong with what was typed (422).
const SPOKEN_FOR = [401, 422];
const region = document.getElementById("toasts");

function leave(toast) {
  toast.classList.add("toast-leaving");
  setTimeout(() => toast.remove(), 200);
}

function watch(toast) {
  if (toast.dataset.tone !== "error") setTimeout(() => leave(toast), STAY_MS);
}

function place() {
  const home = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (!region.isConnected) region.replaceChildren(); // it went with the dialog that it stood in
  if (region.parentElement !== home) home.append(region);
}

export function show(text, tone = "good") {
  const template = document.getElementById(tone === "bad" ? "toast-template-bad" : "toast-template");
  const toast = template.content.querySelector("[data-toast]").cloneNode(true);
  toast.querySelector("[data-toast-text]").textContent = text;
  place();
  region.append(toast);
  watch(toast);
}

region.querySelectorAll("[data-toast]").forEach(watch);
document.addEventListener("toast", (event) => show(event.detail.text ?? event.detail.value, event.detail.tone));
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-toast-close]")) leave(event.target.closest("[data-toast]"));
});
document.addEventListener("close", place, true);
document.addEventListener("htmx:sendError", () => show(region.dataset.offline, "bad"));
document.addEventListener("htmx:responseError", (event) => {
  if (!SPOKEN_FOR.includes(event.detail.xhr.status)) show(region.dataset.failed, "bad");
});
