// What a person orders besides answers: a class, a round, the end, another name.

import { Failure, post } from "./api.js";
import { askClass, askedFor, askName } from "./dialogs.js";
import { plural, sentence } from "./dom.js";
import { keepHere } from "./storage.js";

export class Orders {
  constructor(app) {
    this.app = app;
  }

  async addClass() {
    const { app } = this;
    const card = app.view === app.views.work ? app.view.card : null;
    const said = await askClass(app.status.classes, card !== null);
    if (!said) return;
    await this.#order("The class was not added", async () => {
      const { classes } = await post("/api/classes", { who: app.who, name: said.text });
      app.hear({ ...app.status, classes });
      if (said.choice !== "use") return;
      if (app.view === app.views.work && app.view.card?.id === card.id) app.view.answer("label", said.text);
    });
  }

  train() {
    return this.#order("No training was begun", () => this.#send("/api/train"));
  }

  async finish() {
    const { app } = this;
    const text = `The run ends with ${plural(app.status.labels, "label")} and its model is written. You can go on later.`;
    if (!(await askedFor("Finish?", text, "Finish"))) return;
    await this.#order("The run was not finished", async () => {
      if (!(await app.outbox.empty(5000))) throw new Failure("some answers are not saved yet");
      const status = await post("/api/finish", { who: app.who });
      app.finishing = true;
      app.server.heard(status);
      if (app.status.finished === null) app.go({ view: "work" });
    });
  }

  reopen() {
    const { app } = this;
    return this.#order("The run was not opened again", async () => {
      await this.#send("/api/reopen");
      if (app.status.finished === null) app.go({ view: "work" });
    });
  }

  /** `must`: the page cannot begin without a name. */
  async changeName(must = false) {
    const { app } = this;
    let name = null;
    do name = await askName(app.who, app.status.people);
    while (must && name === null); // without a name there is nothing behind the question
    if (name === null || name === app.who) return;
    const first = app.who === null;
    app.who = name;
    keepHere("name", name);
    // What is ahead was lent to another name.
    if (!first) location.reload();
  }

  async #send(path) {
    const { app } = this;
    app.server.heard(await post(path, { who: app.who }));
  }

  async #order(what, order) {
    try {
      await order();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      this.app.complain(`${what}: ${sentence(failure.message)}`);
    }
  }
}
