// What was picked, as thumbnails.

function thumbnail({ image, key, label, score, predicted, confidence, answered }) {
  const wrong = label !== null && predicted !== null && predicted !== label;
  const answer = label ?? (answered ? "skipped" : "not answered");
  const mark = label === null ? "" : wrong ? "✗ " : "✓ ";
  const sure = isNumber(confidence) ? ` ${percent(confidence, 0)}` : "";
  const said = predicted === null ? "" : `network said ${predicted}${sure}`;
  const alt = [`sample ${key}`, answer, said, wrong ? "wrong" : ""].filter(Boolean).join(", ");
  return h(
    "figure",
    { class: wrong ? "thumbnail wrong" : "thumbnail" },
    picture(image, key, alt),
    h(
      "figcaption",
      {},
      h("span", { class: label === null ? "skipped" : "label" }, answer),
      predicted === null ? null : h("span", { class: "said" }, `${mark}${predicted}${sure}`),
      isNumber(score) ? h("span", { class: "score" }, `score ${plain(score)}`) : null,
    ),
  );
}

function picture(image, key, alt) {
  return image !== null && image.startsWith("data:image/")
    ? h("img", { src: image, alt, title: key, decoding: "async", onload: sharpen })
    : h("span", { class: "no-image", title: key }, key);
}

/** Small images are enlarged by whole pixels. */
function sharpen(event) {
  if (event.target.naturalWidth < 64) event.target.classList.add("small");
}

const ALL = null;

/** The last round whose picks have answers, most of them if there is one: what is still being asked
 * for shows nothing yet. */
function lastAnswered(galleries, rounds) {
  const answered = (round, least) => {
    const picks = galleries.flatMap((gallery) => gallery.rounds[round] ?? []);
    return picks.filter((pick) => pick.answered).length > least * picks.length;
  };
  return rounds.findLast((round) => answered(round, 0.5)) ?? rounds.findLast((round) => answered(round, 0)) ?? rounds.at(-1);
}

function galleriesPart(galleries) {
  const rounds = [...new Set(galleries.flatMap((g) => Object.keys(g.rounds).map(Number)))].sort((a, b) => a - b);
  const names = [...new Set(galleries.map((g) => g.strategy))];
  if (!rounds.length) return null;
  let [round, chosen] = [lastAnswered(galleries, rounds), ALL];
  const shelves = h("div", { class: "shelves" });

  function draw() {
    const shown = galleries.filter((g) => chosen === ALL || g.strategy === chosen);
    shelves.replaceChildren(
      h("p", { class: "shelf-round" }, `Picks of round ${round}`),
      ...shown.map((gallery) => {
        const picks = gallery.rounds[round] ?? [];
        return h(
          "section",
          { class: "shelf" },
          h("h4", {}, strategyLabel(gallery.strategy), h("small", {}, `seed ${gallery.seed}`)),
          picks.length
            ? h("div", { class: "thumbnails" }, picks.map(thumbnail))
            : h("p", { class: "note" }, "No picks in this round."),
        );
      }),
    );
  }

  draw();
  return part(
    "What was picked",
    "The first picks of a round, by strategy: the class, then what the network said before it was trained on them and how sure it was (✗ and a dashed frame: wrong).",
    h(
      "div",
      { class: "controls" },
      rounds.length > 1 ? stepper("round", rounds, (value) => `${value}`, (value) => draw((round = value)), round) : null,
      names.length > 1
        ? choice("strategy", [[ALL, "all"], ...names.map((name) => [name, name])], ALL, (value) => draw((chosen = value)))
        : null,
    ),
    shelves,
  );
}
