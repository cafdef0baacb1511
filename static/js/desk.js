/** The desk's own scripts, each small; everything works without them but the charts. */
import "./find.js";
import "./menus.js";
import "./dialogs.js";
import "./toasts.js";
import "./theme.js";
import "./copy.js";
import "./conditions.js";
import { drawCharts } from "./charts.js";

drawCharts(document);
document.addEventListener("htmx:load", (event) => drawCharts(event.detail.elt));
