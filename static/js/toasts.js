/**
 * Toasts: Django's messages are in the page; htmx responses add theirs by HX-Trigger:
 * {"toast": {"text": "Saved", "tone": "good" | "bad"}}. Errors stay until closed, the rest leave.
 */
const STAY_MS = 6000;
const region = document.getElementById("toasts");

function leave(toast) {
  toast.classList.add("toast-leaving");
  setTimeout(() => toast.remove(), 200);
}

function watch(toast) {
  if (toast.dataset.tone !== "error") setTimeout(() => leave(toast), STAY_MS);
}

export function show(text, tone = "good") {
  const template = document.getElementById(tone === "bad" ? "toast-template-bad" : "toast-template");
  const toast = template.content.querySelector("[data-toast]").cloneNode(true);
  toast.querySelector("[data-toast-text]").textContent = text;
  region.append(toast);
  watch(toast);
}

region.querySelectorAll("[data-toast]").forEach(watch);
document.addEventListener("toast", (event) => show(event.detail.text ?? event.detail.value, event.detail.tone));
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-toast-close]")) leave(event.target.closest("[data-toast]"));
});
document.addEventListener("htmx:sendError", () => show(region.dataset.offline, "bad"));
document.addEventListener("htmx:responseError", (event) => {
  if (event.detail.xhr.status >= 500 || event.detail.xhr.status === 403) show(region.dataset.failed, "bad");
});
