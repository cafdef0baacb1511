/** data-copy="text" copies it and says so. */
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const words = button.querySelector("[data-copy-words]");
  if (!words) return;
  const before = words.textContent;
  words.textContent = words.dataset.copied;
  setTimeout(() => (words.textContent = before), 2000);
});
