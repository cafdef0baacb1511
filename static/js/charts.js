/**
 * Draws <c-chart> and <c-plot>: each holds a figure as JSON. The theme (fonts, grid, colours by name) is laid
 * over the figure here, so that one figure serves light and dark; charts are drawn anew when the theme changes
 * and fitted when their box does. Plotly is loaded on the first page that needs it.
 */
const FONT = 'Inter, "Inter Variable", ui-sans-serif, system-ui, "PingFang SC", "Noto Sans SC", "Microsoft YaHei", sans-serif';
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", scrollZoom: false, showTips: false };
const NARROW = 460;
const language = document.documentElement.lang;

let plotly;

function load() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.querySelector("script[data-plotly]").dataset.plotly;
    script.onload = () => resolve(registerLanguage(window.Plotly));
    script.onerror = reject;
    document.body.append(script);
    script.addEventListener("load", withoutStyleElements());
  });
  return plotly;
}

/**
 * Plotly's bundle adds a <style> for maps, which we have not, while it loads; the content security policy would
 * refuse it with an error in the console. It is left out instead. Returns what ends this.
 */
function withoutStyleElements() {
  const { head } = document;
  head.appendChild = (node) => (node instanceof HTMLStyleElement ? node : Node.prototype.appendChild.call(head, node));
  return () => delete head.appendChild;
}

/** Names of months and days for Plotly's time axes, from the browser itself. */
function registerLanguage(library) {
  const names = (options, dates) => dates.map((date) => new Intl.DateTimeFormat(language, options).format(date));
  const months = Array.from({ length: 12 }, (_, month) => new Date(2024, month, 1));
  const days = Array.from({ length: 7 }, (_, day) => new Date(2024, 8, 1 + day));
  const chinese = language.startsWith("zh");
  library.register({
    moduleType: "locale",
    name: language,
    dictionary: {},
    format: {
      months: names({ month: "long" }, months),
      shortMonths: names({ month: "short" }, months),
      days: names({ weekday: "long" }, days),
      shortDays: names({ weekday: "short" }, days),
      dateTime: "%x, %X",
      time: "%H:%M:%S",
      periods: ["AM", "PM"],
      date: chinese ? "%Y-%m-%d" : "%d %b %Y",
      year: chinese ? "%Y年" : "%Y",
      month: chinese ? "%Y年%-m月" : "%b %Y",
      dayMonth: chinese ? "%-m月%-d日" : "%-d %b",
      dayMonthYear: chinese ? "%Y年%-m月%-d日" : "%-d %b %Y",
    },
  });
  return library;
}

/** The colours of the theme at this element, by name; a probe resolves light-dark(). */
function palette(element) {
  const probe = document.createElement("span");
  probe.style.transition = "none";
  element.append(probe);
  const read = (name) => {
    probe.style.color = `var(--chart-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["1", "2", "3", "4", "5", "6", "grid", "zero", "ink", "quiet", "idle", "good", "look", "bad", "card", "low", "line"];
  const colours = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return colours;
}

function tint(colour, percent) {
  const [red, green, blue] = colour.match(/[\d.]+/g);
  return `rgba(${red}, ${green}, ${blue}, ${percent / 100})`;
}

/** Replaces "@1", "@quiet", "@1/13" anywhere in a figure by colours. */
function paint(value, colours) {
  if (typeof value === "string") {
    const match = /^@([a-z0-9]+)(?:\/(\d+))?$/.exec(value);
    const colour = match && colours[match[1]];
    if (!colour) return value;
    return match[2] ? tint(colour, Number(match[2])) : colour;
  }
  if (Array.isArray(value)) return value.map((item) => paint(item, colours));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, paint(item, colours)]));
  }
  return value;
}

const isPlain = (value) => value && typeof value === "object" && !Array.isArray(value);

function merge(under, over) {
  const result = { ...under };
  for (const [key, value] of Object.entries(over ?? {})) {
    result[key] = isPlain(value) && isPlain(under?.[key]) ? merge(under[key], value) : value;
  }
  return result;
}

function axis(colours, isValue, over) {
  const font = { size: 11, color: colours.quiet };
  const base = {
    tickmode: over?.tickvals ? "array" : over?.dtick ? "linear" : "auto",
    showgrid: isValue && !over?.overlaying,
    gridcolor: colours.grid,
    griddash: "solid",
    zeroline: false,
    zerolinecolor: colours.zero,
    showline: false,
    linecolor: colours.grid,
    ticks: "",
    tickfont: font,
    title: { font, standoff: 8 },
    automargin: true,
    separatethousands: true,
    showspikes: !isValue,
    spikemode: "across",
    spikesnap: "data",
    spikethickness: 1,
    spikedash: "solid",
    spikecolor: colours.zero,
  };
  return merge(base, typeof over?.title === "string" ? { ...over, title: { text: over.title } } : over);
}

/** In a narrow chart every second month is named, rather than all of them on end. */
function spaceMonths(layout, width) {
  for (const [name, options] of Object.entries(layout)) {
    if (!name.startsWith("xaxis") || options?.dtick !== "M1") continue;
    options.tickangle = 0;
    options.ticklabelstep = width < NARROW ? 2 : 1;
  }
}

function layoutOf(figure, colours) {
  const { template, ...own } = figure.layout ?? {};
  const drawn = (figure.data ?? []).filter((trace) => trace.showlegend !== false && trace.type !== "heatmap");
  const base = {
    font: { family: FONT, size: 11, color: colours.quiet },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    colorway: ["1", "2", "3", "4", "5", "6"].map((name) => colours[name]),
    margin: { l: 8, r: 14, t: drawn.length > 1 ? 28 : 8, b: 8, pad: 4 },
    showlegend: drawn.length > 1,
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { size: 11, color: colours.quiet } },
    hovermode: "x unified",
    hoverlabel: {
      bgcolor: colours.card,
      bordercolor: colours.line,
      font: { family: FONT, size: 12, color: colours.ink },
      align: "left",
      namelength: -1,
    },
    bargap: 0.35,
    bargroupgap: 0.05,
    barcornerradius: 2,
    dragmode: false,
    separators: ".,",
  };
  const layout = merge(base, own);
  const flat = (figure.data ?? []).some((trace) => trace.orientation === "h");
  for (const name of new Set(["xaxis", "yaxis", ...Object.keys(own).filter((key) => /^[xy]axis\d*$/.test(key))])) {
    layout[name] = axis(colours, flat ? name.startsWith("x") : name.startsWith("y"), own[name]);
  }
  delete layout.width;
  delete layout.height;
  return layout;
}

/** Error bars of points in several colours have no colour of their own to take. */
function quietErrorBars(trace, colours) {
  for (const bars of [trace.error_x, trace.error_y]) if (bars) bars.color ??= colours.zero;
}

async function draw(element) {
  const library = await load();
  if (!element.isConnected) return;
  element.figure ??= JSON.parse(element.querySelector("script").textContent);
  const colours = palette(element);
  const figure = paint(element.figure, colours);
  for (const trace of figure.data) quietErrorBars(trace, colours);
  const layout = layoutOf(figure, colours);
  let target = element.querySelector("[data-plot]");
  if (!target) {
    target = document.createElement("div");
    target.dataset.plot = "";
    target.className = "h-full w-full";
    element.append(target);
  }
  layout.width = element.clientWidth;
  layout.height = element.clientHeight;
  spaceMonths(layout, layout.width);
  await library.react(target, figure.data, layout, { ...CONFIG, locale: language });
  if (!element.dataset.drawn) {
    element.dataset.drawn = "true";
    target.on("plotly_click", (event) => follow(event.points[0]));
    resized.observe(element);
  }
}

/** A point whose customdata (or its "url") is an address leads there: every figure opens what it counts. */
function follow(point) {
  const data = point?.customdata;
  const url = typeof data === "string" ? data : data?.url;
  if (url?.startsWith("/") || url?.startsWith("?")) location.assign(url);
}

const resized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = target.querySelector("[data-plot]");
    const drawn = plot?._fullLayout;
    if (!drawn || !contentRect.width || Math.abs(drawn.width - contentRect.width) < 1) continue;
    draw(target);
  }
});

export function drawCharts(root) {
  const found = root.matches?.("[data-chart]") ? [root] : root.querySelectorAll?.("[data-chart]") ?? [];
  for (const element of found) if (!element.dataset.drawn) draw(element);
}

document.addEventListener("theme:change", () => {
  for (const element of document.querySelectorAll("[data-chart][data-drawn]")) draw(element);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-chart-table]");
  if (!button) return;
  const rows = button.closest("[data-chart-card]").querySelector("[data-chart-rows]");
  rows.hidden = !rows.hidden;
  button.setAttribute("aria-expanded", String(!rows.hidden));
  button.setAttribute("aria-pressed", String(!rows.hidden));
});
