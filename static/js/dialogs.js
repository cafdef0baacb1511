/**
 * Native dialogs: data-dialog="ID" opens, data-dialog-close or a click on the backdrop closes. One that htmx
 * brings in with data-dialog-open opens by itself; a response's HX-Trigger "dialog:close" closes all.
 */
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
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
  for (const dialog of marked) if (!dialog.open) dialog.showModal();
}

openMarked(document);
document.addEventListener("htmx:load", (event) => openMarked(event.detail.elt));
document.addEventListener("dialog:close", () => document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close()));
