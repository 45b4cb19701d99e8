// Puts the page together: whatever there is data for, in a reader's order.

/** A part that cannot be drawn says so; the others are there all the same. */
function attempt(build) {
  try {
    return build();
  } catch (error) {
    console.error(error);
    return h("p", { class: "broken" }, `This part could not be drawn (${error.message}). Its numbers are in report.json.`);
  }
}

const some = (list) => list !== null && list.length > 0;

function picturesParts(pictures) {
  return [
    some(pictures.galleries) && attempt(() => galleriesPart(pictures.galleries)),
    pictures.balance && attempt(() => balancePart(pictures.balance)),
    pictures.overlap && attempt(() => overlapPart(pictures.overlap)),
    pictures.map && attempt(() => mapPart(pictures.map)),
    pictures.duplicates && attempt(() => duplicatesPart(pictures.duplicates)),
    some(pictures.missing) && missingPart(pictures.missing),
  ];
}

function comparisonSection(comparison, findings) {
  const { curves, table, targets, differences, noise_floor: floor, penalties, stops, pictures, settings, differing } = comparison;
  const parts = [
    some(curves) && part("Learning curves", null, attempt(() => curveFigure(comparison))),
    some(table) && attempt(() => accuracyTable(comparison)),
    some(table) && some(targets) && attempt(() => reachTable(comparison)),
    (some(differences) || floor) && attempt(() => differencesTable(comparison, findings)),
    penalties && attempt(() => penaltyPart(penalties)),
    some(stops) && attempt(() => stopsTable(comparison)),
    some(table) && attempt(() => secondsTable(comparison)),
    ...(pictures ? picturesParts(pictures) : []),
    Object.keys(differing ?? {}).length > 0 && attempt(() => differingPart(differing)),
    Object.keys(settings).length > 0 && attempt(() => settingsPart(settings)),
  ];
  return h("section", { class: "comparison", id: `comparison-${comparison.name}` }, h("h2", {}, comparison.title), parts.filter(Boolean));
}

/** How many strategies and seeds were compared. */
function extent(comparison) {
  const seeds = comparison.table.map((row) => row.seeds);
  const [least, most] = [Math.min(...seeds), Math.max(...seeds)];
  const counted = seeds.length ? `, ${least === most ? "" : `${least} to `}${plural(most, "seed")} each` : "";
  return `${plural(comparison.strategies.length, "strategy", "strategies")}${counted}`;
}

function wholeSection(report) {
  const parts = [
    report.ranks && attempt(() => ranksPart(report.ranks)),
    report.penalties && attempt(() => penaltyPart(report.penalties, "Who beats whom, over all comparisons")),
  ].filter(Boolean);
  return parts.length ? h("section", { id: "together" }, h("h2", {}, "All data sets together"), parts) : null;
}

function ranSection(report) {
  const parts = [
    report.comparisons.length > 1 && attempt(() => differingSettings(report.comparisons)),
    some(report.runs) && attempt(() => machinesPart(report.runs)),
    some(report.runs) && attempt(() => runsPart(report.runs, report.comparisons)),
  ].filter(Boolean);
  return parts.length ? h("section", { id: "ran" }, h("h2", {}, "What was run"), parts) : null;
}

/** What was compared, as links to it. */
function contents(report, together, ran) {
  const links = [
    ...report.comparisons.map((c) => [`comparison-${c.name}`, c.title, extent(c)]),
    ...(together ? [["together", "All data sets together"]] : []),
    ...(ran ? [["ran", "What was run", plural(report.runs.length, "run")]] : []),
  ];
  const entry = ([id, text, more]) =>
    h("li", {}, h("a", { href: `#${id}` }, text), more ? h("span", {}, `: ${more}`) : null);
  return links.length ? h("nav", { "aria-label": "On this page" }, h("ul", {}, links.map(entry))) : null;
}

function show(report) {
  const together = wholeSection(report);
  const ran = ranSection(report);
  document.getElementById("page").append(
    ...[
      h("header", {}, h("h1", {}, report.title), h("p", { class: "made" }, `activeloop ${report.version}, ${report.made}`)),
      contents(report, together, ran),
      h(
        "main",
        { id: "content" },
        some(report.problems) ? problemsSection(report.problems) : null,
        some(report.findings)
          ? h("section", { class: "findings", id: "findings" }, h("h2", {}, "Findings"), h("ul", {}, report.findings.map((text) => h("li", {}, text))))
          : null,
        report.comparisons.map((comparison) => comparisonSection(comparison, report.findings)),
        together,
        ran,
      ),
      h("footer", {}, h("p", {}, "All numbers of this page, and more digits of them, are in report.json and in the CSV files beside it.")),
    ].filter(Boolean),
  );
}

// What is folded is unfolded for print, and folded again afterwards.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open]):not(.numbers)")];
  for (const details of unfolded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
});

show(JSON.parse(document.getElementById("data").textContent));
