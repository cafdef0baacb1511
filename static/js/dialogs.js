/**
 * Native dialogs: data-dialog="ID" opens, data-dialog-close or a click on the backdrop closes. One that htmx
 * brings in with data-dialog-open opens by itself; a response's HX-Trigger "dialog:close" closes all.
 */
const FIELDS = "input:enabled:not([type=hidden]), select:enabled, textarea:enabled";

/** Opens it with the first field ready to be filled in. One without fields goes by autofocus, as browsers do. */
function open(dialog) {
  dialog.showModal();
  const first = [...dialog.querySelectorAll(FIELDS)].find((field) => field.checkVisibility());
  const chosen = first?.type === "radio" && dialog.querySelector(`input:enabled:checked[name="${CSS.escape(first.name)}"]`);
  (chosen || first)?.focus();
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  const dialog = opener && document.getElementById(opener.dataset.dialog);
  if (dialog) open(dialog);
  if (event.target.closest("[data-dialog-close]")) event.target.closest("dialog")?.close();
});

document.addEventListener("mousedown", (event) => {
  if (event.target instanceof HTMLDialogElement && event.target.open && !inside(event, event.target)) event.target.close();
});

function inside(event, element) {
  const box = element.getBoundingClientRect();
  return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
}

function openMarked(root) {
  const marked = root.matches?.("dialog[data-dialog-open]") ? [root] : root.querySelectorAll("dialog[data-dialog-open]");
  for (const dialog of marked) if (!dialog.open) open(dialog);
}

openMarked(document);
document.addEventListener("htmx:load", (event) => openMarked(event.detail.elt));
document.addEventListener("dialog:close", () => document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close()));
