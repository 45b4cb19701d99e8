// Where images come from: "queue", what the loop asks for; "looks", labels that deserve a second look.

import { post } from "./api.js";
import { Ahead } from "./ahead.js";

export class Sources {
  /** `current()`: `{card, source}` that is shown, or null. `asked()`: the server has lent more. */
  constructor(app, { current, asked }) {
    const of = (name, ask) =>
      new Ahead({
        ask: async (count, keep) => {
          const { cards } = await ask({ who: app.who, count, keep });
          asked();
          return cards;
        },
        pending: () => app.outbox.ids,
        current: () => (current()?.source === name ? current().card.id : null),
        missed: () => app.server.hurry(), // perhaps it is gone
      });
    this.all = {
      queue: of("queue", (body) => post("/api/next", body)),
      looks: of("looks", ({ who, count }) => post("/api/second_looks", { who, count })),
    };
  }

  /** Put what was shown back in front of what comes from there; what was asked for comes from nowhere. */
  back(shown) {
    this.all[shown.source]?.back(shown);
  }

  /** Answers to these are on their way: they are not to be shown again. */
  answered(ids) {
    for (const id of ids) for (const ahead of Object.values(this.all)) ahead.answered(id);
  }

  /** Nothing comes next, until more is asked for. */
  clear() {
    for (const ahead of Object.values(this.all)) ahead.clear();
  }

  /** They may be shown again. */
  wanted(ids) {
    for (const id of ids) for (const ahead of Object.values(this.all)) ahead.wanted(id);
  }
}
