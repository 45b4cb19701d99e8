// The run is over: what there is, where it is, and what to do with it.

import { button, h, plural, refill, sentence } from "./dom.js";
import { estimateWords } from "./panel.js";

/** A path as a shell takes it. */
const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'"'"'`)}'`);

export class End {
  constructor(app) {
    this.app = app;
    this.words = h("div", { class: "summary" });
    this.why = h("p", { class: "why" });
    this.again = button("Go on labelling", () => app.orders.reopen(), { class: "main" });
    this.element = h(
      "section",
      { class: "end", "aria-label": "Summary" },
      h("h1", { tabindex: -1 }, "Finished"),
      this.words,
      this.why,
      h("div", { class: "actions" }, this.again, button("History", () => app.go({ view: "history" }), { key: "h" })),
    );
  }

  show() {
    this.status(this.app.status);
    this.element.querySelector("h1").focus({ preventScroll: true });
  }

  hide() {}

  status(status) {
    const { directory, labels, skipped, none, classes, counts, estimate, finished } = status;
    if (finished === null) return; // it goes on: this is left at once
    const { cannot_reopen: reason } = status;
    this.again.hidden = reason !== null;
    refill(this.why, reason, () => reason && [h("b", {}, "It cannot go on as it is: "), sentence(reason)]);
    refill(this.words, [directory, labels, skipped, none, classes, counts, estimate, finished], () => {
      const used = classes.filter((name) => counts[name]).length;
      const all = plural(classes.length, "class", "classes");
      const place = quoted(directory);
      const command = (title, text) => [h("dt", {}, title), h("dd", {}, h("code", { class: "command" }, text))];
      return [
        h("p", {}, sentence(finished)),
        h("p", {}, h("b", {}, plural(labels, "label")), ` of ${used < classes.length ? `${used} of ${all}` : all}, ${skipped} skipped, ${none} of no class.`),
        estimate && h("p", {}, "Accuracy of the model: ", estimateWords(estimate), "."),
        h(
          "dl",
          {},
          h("dt", {}, "Labels, with who gave them and when"),
          h("dd", {}, h("code", {}, `${directory}/labels.csv`)),
          h("dt", {}, "The run, with every answer that was ever given"),
          h("dd", {}, h("code", {}, `${directory}/run.db`)),
          h("dt", {}, "Model"),
          h("dd", {}, h("code", {}, `${directory}/model.safetensors`)),
          command("Predict the images of another folder", `python -m activeloop predict ${place} FOLDER --out predictions.csv`),
          command("Labels as a folder for each class", `python -m activeloop export ${place} --format image-folder`),
          command("A report", `python -m activeloop report ${place}`),
        ),
      ];
    });
  }

  key() {
    return false;
  }
}
