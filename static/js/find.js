/** Member search: "/" goes to it from anywhere, arrows walk the suggestions, Escape leaves. */
const input = document.getElementById("find");
const list = document.getElementById("suggestions");

const isTyping = (element) => element.closest("input, textarea, select, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!input || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  input.focus();
  input.select();
});

const links = () => [...list.querySelectorAll("a[href]")];

function step(event, offset) {
  const found = links();
  if (!found.length) {
    if (input.value) input.dispatchEvent(new Event("find:again"));
    return;
  }
  event.preventDefault();
  const next = found.indexOf(document.activeElement) + offset;
  (next < 0 ? input : found[Math.min(next, found.length - 1)]).focus();
}

input?.form.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") step(event, 1);
  if (event.key === "ArrowUp" && document.activeElement !== input) step(event, -1);
  if (event.key === "Escape" && list.hasChildNodes()) {
    event.preventDefault(); // the browser would empty the field; a second Escape does
    list.replaceChildren();
    input.focus();
  }
});

document.addEventListener("click", (event) => {
  if (list && !event.target.closest("[data-find]")) list.replaceChildren();
});

input?.form.addEventListener("focusout", (event) => {
  if (event.relatedTarget && !input.form.contains(event.relatedTarget)) list.replaceChildren();
});
