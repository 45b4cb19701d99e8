// From a key to what it does: for the whole page, or for the view that is shown.

import { help } from "./dialogs.js";
import { meaningOf } from "./keys.js";

const FIELDS = "input, select, textarea";
const within = (event, selector) => event.target instanceof Element && event.target.closest(selector) !== null;
const isPlain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey && !within(event, FIELDS);

export function listenToKeys(app) {
  document.addEventListener("keydown", (event) => press(app, event));
  // A button that was clicked by hand lets go of the focus, or Enter would press it again, and not do
  // what the page says that it does.
  document.addEventListener("click", (event) => event.detail && within(event, "button:not(.tile)") && event.target.closest("button").blur());
}

function press(app, event) {
  if (app.dialogOpen()) return;
  if (isPlain(event) && moves(app.view, event.key)) {
    event.preventDefault();
    return;
  }
  if (event.repeat) return; // a key that is held is no second answer
  if (isPlain(event) && event.key === "Enter" && enters(app.view, event)) {
    event.preventDefault();
    return;
  }
  const meaning = meaningOf(event, app.status.classes);
  if (!meaning) return;
  const command = commandOf(app, meaning.command);
  if (command) {
    event.preventDefault();
    command();
  } else app.view.key(meaning, event);
}

/** What a key does in all views. */
function commandOf(app, name) {
  const { grid, looks } = app.tabs;
  return {
    help: () => help(),
    hints: () => app.toggleHints(),
    undo: () => app.views.work.undo.once(),
    grid: () => grid.disabled || app.go({ view: "grid" }),
    history: () => app.go({ view: "history" }),
    "second looks": () => looks.disabled || app.go({ view: "work", source: "looks" }),
    "add class": () => app.orders.addClass(),
  }[name];
}

/** Arrows are the view's, unless they move an image that is looked at closely. */
const moves = (view, key) => /^(Arrow|Home$|End$)/.test(key) && !view.close && view.arrow?.(key);

/** Enter on a button is the button's; on an image of the grid it confirms them all. */
const enters = (view, event) => !within(event, "button:not(.tile), a, summary") && view.enter?.(event);
