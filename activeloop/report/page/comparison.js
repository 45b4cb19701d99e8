// The sections of one comparison that are tables: accuracy, labels to targets, differences, ...

/** A part of a comparison: a heading, what helps to read it, and what it shows. */
const part = (title, help, ...content) =>
  h("section", { class: "part" }, h("h3", {}, title), help ? h("p", { class: "help" }, help) : null, content);

function areaText({ area_range: range, table }) {
  if (range) return `The area is the mean height of the curve from ${whole(range[0])} to ${plural(range[1], "label")}, which its runs share.`;
  if (countOfRuns(table) === 1) return "There is no area, for it takes accuracies at two label counts.";
  return "There is no area, for the runs share no range of labels.";
}

const countOfRuns = (table) => table.reduce((sum, row) => sum + row.seeds, 0);

/** Why there is no table of test accuracies, and where else to look. */
function untestedText({ table, curves }) {
  const audited = curves.some(({ metric }) => metric === "audit_accuracy");
  const [has, its] = countOfRuns(table) === 1 ? ["This run has", "Its"] : ["These runs have", "Their"];
  return `${has} no test accuracy.${audited ? ` ${its} audit accuracy, of samples drawn at random, is in the learning curves above.` : ""}`;
}

const validationText = ({ validation_labels: labels }) =>
  labels ? ` Each run used ${plural(labels, "label")} more to validate, which no label count here has in it.` : "";

/** Of how many runs an estimate is, where not of all. */
const fewer = (estimate, seeds) => (estimate && estimate.n < seeds ? h("small", {}, `${estimate.n} of ${plural(seeds, "run")}`) : null);

function accuracyTable(comparison) {
  const { table, budgets, baseline, curves } = comparison;
  if (!curves.some(({ metric }) => metric === "accuracy")) return part("Accuracy", untestedText(comparison));
  const column = (head, get) => ({
    head,
    value: (row) => get(row)?.mean,
    first: "high",
    show: (row) => [estimateText(get(row), percent), fewer(get(row), row.seeds)],
  });
  const measured = [
    comparison.area_range ? column("area under the curve", (row) => row.area) : null,
    ...budgets.map((budget) => column(`at ${plural(budget, "label")}`, (row) => row.at[budget])),
  ].filter(Boolean);
  const columns = [strategyColumn(baseline), { head: "seeds", value: (row) => row.seeds, show: (row) => whole(row.seeds) }, ...measured];
  const means = "Mean over seeds, its 95% interval in small print, and of how many runs where not all came so far. ";
  return part(
    "Accuracy",
    `${table.some((row) => row.seeds > 1) ? means : ""}${areaText(comparison)}${validationText(comparison)}`,
    measured.length ? sortable("Accuracy by strategy", columns, table) : null,
  );
}

/** Labels to a target, or how many runs got there: those that did not are censored, not left out. */
function reachText(reach) {
  if (!reach) return NONE;
  if (reach.labels) return estimateText(reach.labels, whole);
  return [
    h("span", { class: "censored" }, `${reach.reached} of ${reach.of} reached`),
    isNumber(reach.median) ? h("small", {}, `median ${whole(reach.median)}`) : null,
  ];
}

function reachTable(comparison) {
  const of = (row, target) => row.reach.find((reach) => reach.target === target);
  const needed = (reach) => reach?.labels?.mean ?? reach?.median;
  const columns = [
    strategyColumn(comparison.baseline),
    ...comparison.targets.flatMap((target) => [
      {
        head: `labels to ${Number((100 * target).toFixed(2))}%`,
        value: (row) => needed(of(row, target)),
        show: (row) => reachText(of(row, target)),
      },
      ...(comparison.baseline === null
        ? []
        : [
            {
              head: "saved",
              value: (row) => of(row, target)?.saved?.mean,
              first: "high",
              show: (row) => (row.strategy === comparison.baseline ? NONE : estimateText(of(row, target)?.saved, percents)),
            },
          ]),
    ]),
  ];
  const saved = comparison.baseline === null ? "" : ` “Saved” is in percent of the labels that ${comparison.baseline} needs, over the pairs of runs that both got there.`;
  return part(
    "Labels to reach an accuracy",
    `Mean and 95% interval where all runs got there; else how many did, and the median that counts the others as more.${saved}`,
    sortable("Labels to reach each target", columns, comparison.table),
  );
}

const LEAST_SECONDS = 1e-4;

function secondsTable(comparison) {
  // What no run did took no time to speak of: testing without a test set.
  const took = (name) => comparison.table.some((row) => row.seconds[name] >= LEAST_SECONDS);
  const parts = [...new Set(comparison.table.flatMap((row) => Object.keys(row.seconds)))].filter(took);
  const total = (row) => parts.reduce((sum, name) => sum + (row.seconds[name] ?? 0), 0);
  const most = Math.max(...comparison.table.map(total));
  if (!(most > 0)) return null;
  const bar = (row) => {
    let x = 0;
    const pieces = parts.map((name, n) => {
      const width = (PLOT * (row.seconds[name] ?? 0)) / most;
      const piece = svg("rect", { class: `piece piece-${n % 4}`, x: x.toFixed(2), y: 5, width: width.toFixed(2), height: 14 });
      x += width;
      return piece;
    });
    return svg("svg", { class: "interval stacked", viewBox: `0 0 ${PLOT} 24`, width: PLOT, height: 24, "aria-hidden": "true" }, pieces);
  };
  const head = (name, n) =>
    h("span", {}, svg("svg", { class: "piece-key", viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: `piece piece-${n % 4}`, width: 10, height: 10 })), name);
  const columns = [
    strategyColumn(comparison.baseline),
    { head: "by part", text: true, show: bar },
    { head: "a round", value: total, show: (row) => duration(total(row)) },
    ...parts.map((name, n) => ({
      head: head(name, n),
      value: (row) => row.seconds[name],
      show: (row) => duration(row.seconds[name]),
    })),
  ];
  return part("Seconds a round", "Mean over rounds and seeds.", sortable("Seconds a round by part", columns, comparison.table));
}

function differencesTable(comparison, findings) {
  const floor = comparison.noise_floor;
  const range = comparison.area_range;
  const rows = floor ? [...comparison.differences, floor] : comparison.differences;
  const baseline = comparison.differences.length ? comparison.differences[0].baseline : rows[0].baseline;
  const isFloor = (row) => row === floor;
  const columns = [
    {
      head: "strategy",
      text: true,
      value: (row) => row.strategy,
      show: (row) => [strategyLabel(row.strategy), isFloor(row) ? h("small", {}, `noise floor${floor.baseline === baseline ? "" : `: minus ${floor.baseline}`}`) : null],
    },
    intervalColumn(`minus ${baseline}, in points`, rows, {
      estimate: (row) => row.estimate,
      format: (share) => signed(100 * share, 1),
      zero: 0,
      band: floor?.estimate,
      look: (row) => row.strategy,
    }),
    { head: "points", value: (row) => row.estimate.mean, first: "high", show: (row) => estimateText(row.estimate, points) },
    { head: "pairs", value: (row) => row.estimate.n, show: (row) => whole(row.estimate.n) },
    { head: "p, t test", value: (row) => row.p, show: (row) => probability(row.p) },
    {
      head: "p, Holm",
      value: (row) => row.p_holm,
      show: (row) => (row.settled ? h("strong", {}, `${probability(row.p_holm)} ✓`) : probability(row.p_holm)),
    },
    {
      head: "p, Wilcoxon",
      value: (row) => row.wilcoxon_p,
      show: (row) => [
        probability(row.wilcoxon_p),
        isNumber(row.wilcoxon_least) ? h("small", {}, `least possible ${probability(row.wilcoxon_least)}`) : null,
      ],
    },
    {
      head: "pairs needed",
      value: (row) => row.seeds_needed,
      show: (row) => (row.settled ? "settled" : isNumber(row.seeds_needed) ? `about ${whole(row.seeds_needed)}` : NONE),
    },
  ];
  const said = new Set(findings);
  const words = rows.map((row) => row.words).filter((sentence) => sentence && !said.has(sentence));
  const band = floor && isNumber(floor.estimate.low) ? " The shaded band is the noise floor: the same strategy against itself with other draws." : "";
  return part(
    `Differences from ${baseline}`,
    `In area under the curve${range ? ` from ${whole(range[0])} to ${plural(range[1], "label")}` : ""}, paired by seed, in percentage points, with the 95% interval; ✓ marks a Holm-corrected p below 0.05. “Pairs needed” would settle what is not settled with 80% power at a two-sided 5%, uncorrected for several comparisons.${band}`,
    words.length ? h("ul", { class: "words" }, words.map((sentence) => h("li", {}, sentence))) : null,
    sortable(`Differences from ${baseline}`, columns, rows, (row) => (isFloor(row) ? "floor-row" : null)),
  );
}

function penaltyPart(penalties, title = "Who beats whom") {
  const { strategies, matrix, data_sets: sets } = penalties;
  const others = (line, i) => line.filter((value, j) => j !== i && isNumber(value));
  const mean = (line, i) => others(line, i).reduce((a, b) => a + b, 0) / Math.max(1, others(line, i).length);
  const n = strategies.length;
  return part(
    title,
    `The pairwise penalty matrix. A cell is the share of label counts at which the strategy of its row is significantly worse than that of its column (paired t test at 5%, uncorrected)${sets > 1 ? `, summed over ${sets} data sets` : ""}: a good strategy has a pale row, and its column is dark.`,
    heat("Pairwise penalties: row worse than column", {
      rows: strategies.map(strategyLabel),
      columns: [...strategies, "mean of row"],
      matrix: matrix.map((line, i) => [...line, mean(line, i)]),
      format: (value) => fixed(value, 2),
      most: sets,
      corner: "worse ↓ than →",
      skip: (i, j) => i === j && j < n,
    }),
  );
}

function stopsTable(comparison) {
  const stopping = new Set(comparison.stops.filter((row) => row.stopped > 0).map((row) => row.rule));
  const rows = comparison.stops.filter((row) => stopping.has(row.rule));
  const never = [...new Set(comparison.stops.map((row) => row.rule))].filter((rule) => !stopping.has(rule));
  const columns = [
    { head: "rule", text: true, value: (row) => row.rule, show: (row) => breakable(row.rule) },
    strategyColumn(),
    {
      head: "runs stopped",
      value: (row) => row.stopped / row.of,
      first: "high",
      show: (row) => `${row.stopped} of ${row.of}`,
    },
    intervalColumn("labels at the stop", rows, {
      estimate: (row) => row.labels,
      format: whole,
      look: (row) => row.strategy,
    }),
    { head: "labels", value: (row) => row.labels.mean, show: (row) => estimateText(row.labels, whole) },
    { head: "saved", value: (row) => row.saved.mean, first: "high", show: (row) => estimateText(row.saved, percents) },
    { head: "accuracy given up, points", value: (row) => row.cost?.mean, show: (row) => estimateText(row.cost, (share) => fixed(100 * share, 2)) },
  ];
  return part(
    "Where each stopping rule would have stopped",
    "Over the runs of each strategy, whichever rule they ran with; runs that a rule never stopped count at their end. “Saved” is in percent of the labels at each run’s own end. Intervals are cut to what is possible.",
    rows.length ? sortable("Stopping rules", columns, rows) : null,
    never.length ? h("p", { class: "note" }, `Rules that would have stopped none of these runs: ${never.join(", ")}.`) : null,
  );
}

/** What runs of one comparison do not share: it keeps them from nothing, but is to be known. */
function differingPart(differing) {
  const columns = [
    { head: "setting", text: true, show: (name) => h("code", {}, name) },
    { head: "values", text: true, show: (name) => differing[name].map((value, n) => [n ? h("br") : null, value]) },
  ];
  return part("What differs between these runs", null, sortable("Settings that differ within the comparison", columns, Object.keys(differing)));
}

function settingsPart(settings) {
  const names = Object.keys(settings).sort();
  return h(
    "details",
    { class: "settings" },
    h("summary", {}, `Settings that all these runs share (${names.length})`),
    scrolling(
      "Settings",
      h(
        "table",
        { class: "plain" },
        h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row", class: "text" }, h("code", {}, name)), h("td", { class: "text" }, settingText(settings[name]))))),
      ),
    ),
  );
}

function settingText(value) {
  if (value === undefined) return "not there";
  return typeof value === "string" ? value : JSON.stringify(value);
}
