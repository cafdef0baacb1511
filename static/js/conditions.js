/**
 * The condition builder. It only keeps the tree, as JSON, in the builder's hidden field; the server draws
 * every change. A choice is sent when its menu closes, so that several can be ticked at once.
 */
function readLine(line) {
  const part = (name) => line.querySelector(`[data-part="${name}"]`);
  const type = line.dataset.type;
  const values = [...line.querySelectorAll('[data-part="value"]')].map((input) => input.value);
  const node = { fact: part("fact").value, op: part("op")?.value ?? "", value: values[0] ?? null };
  if (type === "boolean") node.value = values[0] === "true";
  else if (type === "choice") node.value = readChoices(line, part("other")?.value ?? "");
  else if (values.length > 1) node.value = values;
  const parameter = part("parameter");
  if (parameter) node[parameter.dataset.key] = parameter.value;
  return node;
}

/** What is ticked, and what was typed besides where a value need not be among the choices: "Acme, Bolt". */
function readChoices(line, typed) {
  const ticked = [...line.querySelectorAll('[data-part="choice"]:checked')].map((box) => box.value);
  const others = typed.split(/[,，]/).map((value) => value.trim()).filter(Boolean);
  return [...new Set([...ticked, ...others])];
}

function readGroup(group) {
  const kind = group.querySelector(':scope > .conditions-head [data-part="kind"]').value;
  const nodes = [...group.querySelectorAll(":scope > [data-nodes] > li > :is([data-group], [data-line])")];
  return { [kind]: nodes.map((node) => (node.matches("[data-group]") ? readGroup(node) : readLine(node))) };
}

function keep(builder) {
  builder.querySelector("[data-tree]").value = JSON.stringify(readGroup(builder.querySelector("[data-group]")));
}

/**
 * One request at a time. What is asked for meanwhile waits; where the person went on typing meanwhile, the
 * answer is passed over and asked for again with what they typed.
 */
const waiting = new WeakMap();

async function send(builder, asked = {}) {
  if (waiting.has(builder)) {
    if (!waiting.get(builder)?.action) waiting.set(builder, asked);
    return;
  }
  waiting.set(builder, null);
  const field = builder.querySelector("[data-tree]");
  const sent = field.value;
  const isStale = () => !asked.action && (waiting.get(builder) !== null || field.value !== sent);
  const judge = (event) => {
    if (event.target === builder && isStale()) event.detail.shouldSwap = false;
  };
  builder.addEventListener("htmx:beforeSwap", judge);
  const how = { source: builder, target: builder, swap: "outerHTML", values: asked };
  await htmx.ajax("POST", builder.dataset.conditions, how).catch(() => {}); // the toast says what went wrong
  builder.removeEventListener("htmx:beforeSwap", judge);
  const next = waiting.get(builder);
  const again = next !== null || (builder.isConnected && field.value !== sent);
  waiting.delete(builder);
  if (again) send(builder.isConnected ? builder : document.getElementById(builder.id), next ?? {});
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-conditions] [data-action]");
  if (!button) return;
  const { action, place, kind } = button.dataset;
  send(button.closest("[data-conditions]"), { action, place, kind: kind ?? "" });
});

document.addEventListener("input", (event) => {
  const builder = event.target.closest("[data-conditions]");
  if (builder) keep(builder);
});

document.addEventListener("change", (event) => {
  const builder = event.target.closest("[data-conditions]");
  if (!builder) return;
  keep(builder);
  const choices = event.target.closest("[data-choices]");
  if (choices) choices.dataset.changed = "";
  else send(builder);
});

// "toggle" does not bubble, but it can be caught on its way down.
document.addEventListener(
  "toggle",
  (event) => {
    const choices = event.target;
    if (!choices.matches?.("[data-choices]") || choices.open || !("changed" in choices.dataset)) return;
    send(choices.closest("[data-conditions]"));
  },
  true,
);

// Enter in a value redraws the conditions; it does not send the form around them.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches?.("[data-conditions] input")) return;
  event.preventDefault();
  event.target.blur();
  const choices = event.target.closest("[data-choices]");
  if (choices) choices.open = false;
  else event.target.focus();
});

document.addEventListener("htmx:load", (event) => {
  const id = event.detail.elt.dataset?.focus;
  if (id) document.getElementById(id)?.focus();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (!event.target.matches?.("[data-counts]")) return;
  for (const count of event.target.children) {
    const place = document.getElementById(count.dataset.count);
    if (place) place.textContent = count.textContent;
  }
});
