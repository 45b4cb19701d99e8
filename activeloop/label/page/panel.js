// How the work goes: labels, accuracy, balance, curve, people, and what goes on behind.

import { curveOf } from "./curve.js";
import { bar, button, h, percent, plural, refill, whole } from "./dom.js";
import { behindWords } from "./words.js";

export class Panel {
  #parts = {};

  constructor(app) {
    this.app = app;
    const part = (name, heading) => {
      this.#parts[name] = h("div", { class: name });
      return h("section", {}, heading && h("h2", {}, heading), this.#parts[name]);
    };
    this.train = button("Train now", () => app.orders.train());
    this.finish = button("Finish", () => (app.status.finished === null ? app.orders.finish() : app.orders.reopen()));
    this.element = h(
      "aside",
      { class: "panel", "aria-label": "How the work goes" },
      part("totals"),
      part("advice"),
      part("behind", "Training"),
      h("div", { class: "actions" }, this.train, this.finish),
      part("estimate", "Accuracy"),
      part("chart"),
      part("balance", "Labels by class"),
      part("people", "People"),
    );
  }

  draw(status) {
    const fill = (name, value, make) => refill(this.#parts[name], value, make);
    const { labels, skipped, none, unlabelled, training, estimate, finished } = status;
    fill("totals", [labels, skipped, none, unlabelled, status.per_hour], () => totals(status));
    fill("advice", status.advice, () => status.advice && h("p", {}, h("b", {}, "You may stop: "), status.advice));
    fill("behind", training, () => behind(training));
    fill("estimate", estimate, () => h("p", {}, estimateWords(estimate)));
    fill("chart", status.curve, () => curveOf(status.curve));
    fill("balance", [status.classes, status.counts], () => balance(status));
    fill("people", status.people, () => people(status.people, this.app.who));
    this.train.disabled = finished !== null || training.state === "training" || training.state === "choosing";
    this.train.firstChild.textContent = training.state === "failed" ? "Try again" : "Train now";
    this.finish.hidden = finished !== null && status.cannot_reopen !== null; // the summary says why
    this.finish.firstChild.textContent = finished === null ? "Finish" : "Go on labelling";
  }
}

const totals = ({ labels, skipped, none, unlabelled, per_hour }) => [
  h(
    "p",
    { class: "large" },
    h("span", {}, h("b", {}, whole(labels)), labels === 1 ? " label" : " labels"),
    per_hour && h("span", { class: "quiet" }, `${whole(per_hour)} an hour`),
  ),
  h(
    "p",
    { class: "quiet" },
    [skipped && `${whole(skipped)} skipped`, none && `${whole(none)} of no class`, `${plural(unlabelled, "image")} left`].filter(Boolean).join(", "),
  ),
];

function behind(training) {
  const { state, until_next } = training;
  const busy = state === "training" || state === "choosing" || state === "second looks";
  return [
    h("p", { class: `state ${state.replace(" ", "-")}` }, busy && h("span", { class: "busy", "aria-hidden": "true" }), h("span", {}, behindWords(training))),
    until_next !== null && state !== "finished" && h("p", { class: "quiet" }, until_next === 0 ? "The next round begins as soon as it can." : `${plural(until_next, "more answer")} until the next round.`),
  ];
}

/** As in "about 87% (79% to 93%), from 42 images drawn at random, when it had 20 to 40 labels". */
export function estimateWords(estimate) {
  if (!estimate) return "Not known yet. It is estimated from images drawn at random, once the network has been trained.";
  const { accuracy, low, high, samples, source, labels } = estimate;
  const from = source === "test" ? `${plural(samples, "image")} of the test set` : `${plural(samples, "image")} drawn at random`;
  const [first, last] = labels;
  return [
    h("b", {}, `about ${percent(accuracy)}`),
    ` (${percent(low)} to ${percent(high)}), from ${from}, when it had `,
    first === last ? plural(last, "label") : `${whole(first)} to ${plural(last, "label")}`,
  ];
}

function balance({ classes, counts }) {
  const most = Math.max(1, ...classes.map((name) => counts[name] ?? 0));
  return h(
    "ul",
    { class: "bars" },
    classes.map((name) =>
      h("li", {}, h("span", { class: "name" }, name), bar((counts[name] ?? 0) / most), h("span", { class: "number" }, whole(counts[name] ?? 0))),
    ),
  );
}

function people(list, me) {
  if (!list.length) return h("p", { class: "quiet" }, "Nobody has answered yet.");
  return h(
    "ul",
    {},
    list.map(({ name, answers, per_hour, here }) =>
      h(
        "li",
        { class: here ? "here" : null },
        h("span", { class: "name" }, name === me ? `${name} (you)` : name),
        h("span", { class: "number" }, plural(answers, "answer"), per_hour && `, ${whole(per_hour)}/h`, h("span", { class: "unseen" }, here ? ", here" : ", away")),
      ),
    ),
  );
}
