// What holds for the whole report: problems, ranks over data sets, what was run.

const FEW = 8; // problems of one level that are shown without asking

function problemsSection(problems) {
  const section = h("section", { class: "problems", id: "problems" }, h("h2", {}, "Problems"));
  for (const level of ["error", "warning"]) {
    const items = problems
      .filter((problem) => problem.level === level)
      .map(({ text }) => h("li", { class: level }, h("strong", {}, level === "error" ? "Error: " : "Warning: "), text));
    if (!items.length) continue;
    section.append(h("ul", {}, items.slice(0, FEW)));
    if (items.length > FEW)
      section.append(h("details", {}, h("summary", {}, `and ${plural(items.length - FEW, `more ${level}`)}`), h("ul", {}, items.slice(FEW))));
  }
  return section;
}

// -- mean ranks --------------------------------------------------------------------------------

/** Longest stretches of strategies, in order of rank, that the critical difference does not part. */
function cliques(ranks, difference) {
  const found = [];
  ranks.forEach((rank, i) => {
    const j = ranks.findLastIndex((other) => other - rank <= difference);
    if (j > i && !(found.length && found.at(-1)[1] >= j)) found.push([i, j]);
  });
  return found;
}

/** The diagram of Demsar (2006): best to the left; bars join what is not significantly apart. */
function rankDiagram({ strategies, ranks, critical_difference: difference }) {
  const order = strategies.map((name, n) => ({ name, rank: ranks[n] })).sort((a, b) => a.rank - b.rank);
  const half = Math.ceil(order.length / 2);
  const bars = isNumber(difference) ? cliques(order.map(({ rank }) => rank), difference) : [];
  const side = 30 + Math.max(...order.map(({ name }) => Math.min(160, textWidth(name))));
  const [width, top] = [2 * side + Math.max(300, 26 * order.length), isNumber(difference) ? 66 : 34];
  const every = Math.ceil(order.length / 12);
  const height = top + 22 + bars.length * 7 + half * 20;
  const x = scale(1, Math.max(2, order.length), side + 20, width - side - 20);
  const picture = svg("svg", {
    class: "ranks",
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": "Critical difference diagram of mean ranks; the ranks are in the table below",
  });
  const text = (content, at, y, anchor) => svg("text", { x: at, y, "text-anchor": anchor }, content);
  if (isNumber(difference)) {
    const end = Math.min(x(1) + (x(2) - x(1)) * difference, width - 8);
    picture.append(
      text(`critical difference ${fixed(difference, 2)}`, x(1), 14, "start"),
      svg("path", { class: "axis", d: `M${x(1)} 24H${end}M${x(1)} 20v8M${end} 20v8` }),
    );
  }
  picture.append(svg("path", { class: "axis", d: `M${x(1)} ${top}H${x(Math.max(2, order.length))}` }));
  for (let rank = 1; rank <= Math.max(2, order.length); rank++)
    picture.append(
      svg("path", { class: "axis", d: `M${x(rank)} ${top}v-6` }),
      (rank - 1) % every ? "" : text(String(rank), x(rank), top - 10, "middle"),
    );
  bars.forEach(([i, j], n) =>
    picture.append(svg("path", { class: "clique", d: `M${x(order[i].rank) - 4} ${top + 9 + n * 7}H${x(order[j].rank) + 4}` })),
  );
  order.forEach(({ name, rank }, n) => {
    const left = n < half;
    const y = top + 24 + bars.length * 7 + (left ? n : order.length - 1 - n) * 20;
    const to = left ? side : width - side;
    picture.append(
      svg(
        "g",
        { class: `rank hue-${lookOf(name).hue}` },
        svg("path", { class: "line", d: `M${x(rank).toFixed(1)} ${top}V${y}H${to}` }),
        text(fitted(name, 160), left ? to - 6 : to + 6, y + 4, left ? "end" : "start"),
      ),
    );
  });
  return picture;
}

function ranksPart(ranks) {
  const { strategies, data_sets: sets, critical_difference: difference, friedman_p: p } = ranks;
  const rows = strategies.map((strategy, n) => ({ strategy, rank: ranks.ranks[n] })).sort((a, b) => a.rank - b.rank);
  const read = isNumber(difference)
    ? ` Strategies under one bar are less than the critical difference (${fixed(difference, 2)}) apart: not distinguishable.`
    : "";
  return part(
    "Mean ranks",
    `Over ${plural(sets.length, "data set")} (${sets.join(", ")}), 1 is best.${read}${isNumber(p) ? ` Friedman test: p ${p < 0.001 ? "" : "= "}${probability(p)}.` : ""}`,
    scrolling("Critical difference diagram", rankDiagram(ranks)),
    sortable("Mean rank by strategy", [strategyColumn(), { head: "mean rank", value: (row) => row.rank, show: (row) => fixed(row.rank, 2) }], rows),
  );
}

// -- what was run ------------------------------------------------------------------------------

/** Settings that are not the same in all comparisons. */
function differingSettings(comparisons) {
  const names = [...new Set(comparisons.flatMap((c) => Object.keys(c.settings)))].sort();
  const differ = names.filter((name) => new Set(comparisons.map((c) => settingText(c.settings[name]))).size > 1);
  if (!differ.length) return null;
  const columns = [
    { head: "setting", text: true, show: (name) => h("code", {}, name) },
    ...comparisons.map((c) => ({ head: c.title, text: true, show: (name) => settingText(c.settings[name]) })),
  ];
  return part("How the comparisons differ", null, sortable("Settings that differ", columns, differ));
}

function machinesPart(runs) {
  const groups = new Map();
  for (const { versions, hardware } of runs) {
    const id = JSON.stringify([hardware, Object.entries(versions).sort()]);
    const group = groups.get(id) ?? { hardware, versions, runs: 0 };
    group.runs += 1;
    groups.set(id, group);
  }
  const columns = [
    { head: "hardware", text: true, value: (row) => row.hardware, show: (row) => row.hardware || "not recorded" },
    { head: "runs", value: (row) => row.runs, show: (row) => whole(row.runs) },
    {
      head: "versions",
      text: true,
      show: ({ versions }) =>
        Object.keys(versions).length ? h("span", { class: "versions" }, Object.keys(versions).sort().map((name) => `${name} ${versions[name]}`).join(", ")) : "not recorded",
    },
  ];
  return part(
    "Versions and hardware",
    groups.size > 1 ? "Not all runs had the same: seconds compare only on the same hardware." : null,
    sortable("Versions and hardware", columns, [...groups.values()]),
  );
}

/** A relative link; what is in a name stays part of the path. */
const linkTo = (directory) => directory.split(/[/\\]/).map(encodeURIComponent).join("/") + "/";

function runsPart(runs, comparisons) {
  const titles = new Map(comparisons.map((c) => [c.name, c.title]));
  const rank = (run) => (run.error !== null ? 0 : run.ended === null ? 1 : 2);
  const state = (run) => {
    if (run.error !== null) return h("span", { class: "failed" }, `✗ failed: ${run.error}`);
    return run.ended === null ? h("span", { class: "unfinished" }, "not finished") : run.ended;
  };
  const columns = [
    { head: "run", text: true, value: (run) => run.directory, show: (run) => h("a", { href: linkTo(run.directory) }, breakable(run.directory)) },
    { head: "strategy", text: true, value: (run) => run.strategy, show: (run) => breakable(run.strategy) },
    { head: "seed", value: (run) => run.seed, show: (run) => String(run.seed) },
    { head: "ended", text: true, value: rank, show: state },
    { head: "labels", value: (run) => run.labels, show: (run) => whole(run.labels) },
    { head: "time", value: (run) => run.seconds, show: (run) => duration(run.seconds) },
    { head: "data", text: true, value: (run) => run.data, show: (run) => run.data },
    ...(comparisons.length > 1
      ? [{ head: "comparison", text: true, value: (run) => titles.get(run.comparison), show: (run) => titles.get(run.comparison) ?? NONE }]
      : []),
    { head: "at", text: true, value: (run) => run.at, show: (run) => run.at || NONE },
  ];
  const failed = runs.filter((run) => rank(run) === 0).length;
  const open = runs.filter((run) => rank(run) === 1).length;
  const counts = [plural(runs.length, "run"), failed ? `${failed} failed` : "", open ? `${open} not finished` : ""].filter(Boolean).join(", ");
  const first = [...runs].sort((a, b) => rank(a) - rank(b));
  return part("Runs", `${counts}. Together ${duration(runs.reduce((sum, run) => sum + (run.seconds ?? 0), 0))}.`, sortable("Runs", columns, first, (run) => (rank(run) ? null : "failed-row")));
}
