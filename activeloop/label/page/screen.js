// What is on the screen when one image is shown: the image, why it is, the classes, the last answers.

import { ClassButtons } from "./classes.js";
import { button, fileName, h, refill } from "./dom.js";
import { hintsOf, reasonOf } from "./hints.js";
import { Recent } from "./recent.js";
import { askedOf, emptyWords } from "./words.js";
import { Stage } from "./zoom.js";

export class Screen {
  /** `work`: what the buttons do. */
  constructor(app, work) {
    Object.assign(this, { app, work });
    this.stage = new Stage();
    this.classes = new ClassButtons((label) => work.answer("label", label));
    this.recent = new Recent((card) => work.open(card.id));
    this.asked = h("div", { class: "asked" });
    this.reason = h("p", { class: "reason" });
    this.hints = h("div", { class: "hints", id: "hints" });
    this.hintSwitch = button("What the network thinks", () => app.toggleHints(), { key: "p", "aria-controls": "hints" });
    this.element = h(
      "section",
      { class: "work", "aria-label": "One image" },
      h("h1", { class: "unseen" }, "One image"),
      this.asked,
      h("div", { class: "sight" }, this.stage.element, this.hints),
      this.reason,
      this.classes.element,
      this.#actions(),
      this.recent.element,
    );
  }

  #actions() {
    const { app, work } = this;
    return h(
      "div",
      { class: "actions", role: "group", "aria-label": "Other answers" },
      button("Skip", () => work.answer("skip"), { key: "s" }),
      button("None of these", () => work.answer("none"), { key: "n" }),
      button("New class", () => app.orders.addClass(), { key: "+" }),
      button("Undo", () => work.undo.once(), { key: "u" }),
      button("Zoom", () => this.stage.toggle(), { key: "z", class: "wide-only" }),
      this.hintSwitch,
    );
  }

  /** Show an image, or, where `shown` is null, why there is none from this source. */
  draw(shown, source) {
    const { app, work } = this;
    const card = shown?.card;
    this.element.classList.toggle("nothing", !shown);
    this.stage.element.setAttribute("aria-busy", String(shown?.there === null));
    if (!shown) this.#drawEmpty(source);
    else if (shown.there === false) this.stage.say(`broken ${card.key}`, () => this.#brokenWords(card));
    else if (this.stage.image !== shown.image) this.stage.show(shown.image);
    this.classes.show(app.status.classes, card?.given?.kind === "label" ? card.given.label : null);
    const look = isLook(shown);
    const open = app.hints || look;
    this.hintSwitch.setAttribute("aria-expanded", String(Boolean(open)));
    this.hints.hidden = !open || !shown;
    if (!this.hints.hidden) refill(this.hints, card, () => hintsOf(card, (id) => work.aside(id)));
    refill(this.reason, card && [card.why, card.key, card.id, shown.again], () =>
      card ? [h("span", {}, reasonOf(card.why, shown.again)), " ", h("span", { class: "file" }, `${fileName(card.key)}, image ${card.id}`)] : [],
    );
    refill(this.asked, [card?.id, card?.given, shown?.source, look], () => (card ? askedOf(shown, look, work) : []));
  }

  #drawEmpty(source) {
    const { app } = this;
    const [heading, text, action] = emptyWords(source, app);
    const does = {
      work: () => button("Back to one image", () => app.go({ view: "work" })),
      finish: () => [button("Finish", () => app.orders.finish()), button("History", () => app.go({ view: "history" }))],
      train: () => button("Try again", () => app.orders.train()),
    };
    this.stage.say(heading + text, () => [h("h2", {}, heading), h("p", {}, text), action && does[action]()]);
  }

  #brokenWords(card) {
    return [
      h("h2", {}, "This image cannot be shown"),
      h("p", {}, card.key),
      h("p", {}, "Skip it if it stays so."),
      button("Try again", () => this.work.reload()),
    ];
  }
}

/** Whether it is shown for a second look. */
export const isLook = (shown) => shown?.source === "looks" || shown?.card.why.origin === "second look";
