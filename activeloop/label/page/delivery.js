// What is said of answers on their way: that they are saved, that they wait, that one was refused.

import { button, fileName, h, plural, refill, saidOf, sentence } from "./dom.js";
import { askedFor } from "./dialogs.js";
import { forgetAll, Outbox } from "./outbox.js";
import { csvOf, saveFile, typed } from "./saving.js";

const LISTED = 10; // answers that are named in one notice

export class Delivery {
  constructor(app) {
    this.app = app;
    this.waited = false; // for a server that was away
    // Not read out: it changes twice with each answer.
    this.element = h("p", { class: "saved" });
    this.outbox = new Outbox(app.status.directory, {
      changed: () => this.draw(),
      saved: (entry, reply) => this.#saved(entry, reply),
      delayed: (failure) => this.#delayed(failure),
      refused: (entry, failure) => this.#refused(entry, failure),
    });
    this.draw();
    this.outbox.others.forEach((entries, run) => this.#otherRun(run, entries));
  }

  /** Answers for a run that is not served here, and may never be again, are lost if nobody knows of them. */
  #otherRun(run, entries) {
    const said = entries.flatMap(({ cards, answers }) => answers.map((answer, n) => `“${saidOf(answer)}” for ${cards[n].key}`));
    const rest = said.length > LISTED ? `, and ${plural(said.length - LISTED, "more", "more")}` : "";
    const count = plural(said.length, "answer");
    const forget = button("Forget", async (event) => {
      const notice = event.target.closest(".notice");
      if (!(await askedFor(`Forget ${count}?`, `What was answered for ${run} is saved nowhere else.`, "Forget"))) return;
      forgetAll(entries);
      notice.remove();
    });
    const save = button("Save as a file", () => this.#save(`answers-${fileName(run)}.csv`, entries));
    this.app.notices.message(
      `${count} for another run, ${run}, not saved yet: ${said.slice(0, LISTED).join(", ")}${rest}. What this browser keeps is sent when that run is served here again. If it never is, save them as a file for the run that is here now.`,
      save,
      forget,
    );
  }

  #save(file, entries) {
    const { notices, status } = this.app;
    saveFile(file, csvOf(entries));
    const command = `python -m activeloop import ${typed(status.directory)} ${typed(file)}`;
    notices.message(`${file} is where this browser puts downloads. Whoever runs the server gives the labels in it to this run: stop it, ${command}, start it again. What was skipped, or of no class, is asked again.`);
  }

  #saved(entry, reply) {
    this.app.notices.banner("answers", null);
    this.app.views.work.saved(entry);
    this.app.server.heard(reply.status);
  }

  #delayed(failure) {
    if (failure.status !== 0 && this.app.server.connection === "there")
      this.app.notices.banner("answers", `Answers cannot be saved at the moment: ${sentence(failure.message)} They are kept in this browser, and tried again.`);
    this.draw();
  }

  #refused(entry, failure) {
    const { app } = this;
    app.notices.banner("answers", null);
    app.views.work.refused(entry);
    const [card] = entry.cards;
    const [answer] = entry.answers;
    const mine = entry.answers.length === 1 ? `“${saidOf(answer)}” for ${fileName(card.key)}` : plural(entry.answers.length, "answer");
    const why = failure.given ? `${failure.given.who} has said “${saidOf(failure.given)}” meanwhile` : failure.message;
    const look = button("Look at it", (event) => {
      event.target.closest(".notice").remove();
      app.go({ view: "work", image: card.id });
    });
    app.notices.message(`Not saved: ${mine}. ${sentence(why)}`, look);
  }

  draw() {
    if (!this.outbox) return;
    const { size } = this.outbox;
    const trouble = size > 0 && this.app.server.connection !== "there";
    if (!size && this.waited) this.app.announce("All answers are saved");
    this.waited = size > 0 && (this.waited || trouble);
    this.element.className = `saved ${trouble ? "trouble" : size ? "busy" : "all"}`;
    refill(this.element, size, () => (size ? `${size} saving…` : "all saved"));
  }
}
