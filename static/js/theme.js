/** The theme switch changes the page at once and tells the server, which writes it into the next page. */
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const theme = event.submitter?.value;
  if (!form.matches("[data-theme-switch]") || !theme) return;
  event.preventDefault();
  document.documentElement.dataset.theme = theme;
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === theme));
  form.closest("details").open = false;
  document.dispatchEvent(new CustomEvent("theme:change"));
  const body = new FormData(form, event.submitter);
  await fetch(form.action, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("theme:change"));
});
