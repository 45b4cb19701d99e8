// Picks in sum: balance of the classes, overlap, the map of the pool, near-duplicates.

const NAMED = 12; // more classes than this have no room for their names under the bars

/** Bars of the picks' shares for each class, the pool's as a line across each bar. */
function balanceBars({ classes, pool }, shares, most, name) {
  const [width, height, foot] = [260, 96, classes.length <= NAMED ? 18 : 4];
  const slot = width / classes.length;
  const y = (share) => height - (height * share) / most;
  const picture = svg("svg", {
    class: `bars hue-${lookOf(name).hue}`,
    viewBox: `0 0 ${width} ${height + foot}`,
    role: "img",
    "aria-label": `Shares of the classes in the picks of ${name}${pool ? " and in the pool" : ""}; the numbers are in the table below`,
  });
  classes.forEach((label, n) => {
    const left = n * slot;
    const share = shares[n];
    const told = `${label}: ${percent(share)}${pool ? `, pool ${percent(pool[n])}` : ""}`;
    const gap = Math.min(3, slot * 0.2);
    picture.append(
      svg(
        "g",
        { class: "bar" },
        svg("title", {}, told),
        svg("rect", { x: left + gap, y: y(share ?? 0), width: slot - 2 * gap, height: height - y(share ?? 0) }),
        pool ? svg("path", { class: "pool", d: `M${left} ${y(pool[n]).toFixed(1)}h${slot.toFixed(2)}` }) : null,
      ),
    );
    if (classes.length <= NAMED)
      picture.append(svg("text", { x: left + slot / 2, y: height + 13, "text-anchor": "middle" }, fitted(label, slot)));
  });
  picture.append(svg("path", { class: "axis", d: `M0 ${height}H${width}` }));
  return picture;
}

function balancePart(balance) {
  const { classes, pool, picks } = balance;
  const names = Object.keys(picks);
  const most = [...names.flatMap((name) => picks[name]), ...(pool ?? [])].reduce((a, b) => Math.max(a, b ?? 0), 0) * 1.04 || 1;
  const columns = [
    { head: "class", text: true, value: (n) => classes[n], show: (n) => classes[n] },
    ...(pool ? [{ head: "pool", value: (n) => pool[n], show: (n) => percent(pool[n]) }] : []),
    ...names.map((name) => ({ head: strategyLabel(name), value: (n) => picks[name][n], show: (n) => percent(picks[name][n]) })),
  ];
  return part(
    "Classes of the picks",
    `Share of each class in the picks, mean over seeds${pool ? "; the line across is its share of the pool" : ""}. All charts have one scale, to ${percent(most, 0)}.`,
    h(
      "div",
      { class: "small-multiples" },
      names.map((name) => h("figure", {}, h("figcaption", {}, strategyLabel(name)), balanceBars(balance, picks[name], most, name))),
    ),
    h(
      "details",
      { class: "numbers" },
      h("summary", {}, "The numbers of these charts"),
      sortable("Shares of the classes", columns, classes.map((_, n) => n)),
    ),
  );
}

const overlapPart = ({ strategies, matrix, chance }) =>
  part(
    "Picks in common",
    `Mean share, over seeds, of picks that two strategies have in common. Picking at random gives ${percent(chance)}.`,
    heat("Share of picks in common", {
      rows: strategies.map(strategyLabel),
      columns: strategies,
      matrix,
      format: (share) => percent(share, 0),
      most: 1,
      corner: "",
      skip: (i, j) => i === j,
    }),
  );

// -- the map -----------------------------------------------------------------------------------

const CLASS_HUES = 10;
const MAP = 640;

function mapPart(map) {
  const names = Object.keys(map.picks);
  const place = ([x, y]) => [12 + (MAP - 24) * x, 12 + (MAP * 0.75 - 24) * (1 - y)];
  const places = map.points.map(place);
  // Dots of a class are one path: strokes of no length with round ends.
  const paths = new Map();
  places.forEach(([x, y], n) => {
    const label = map.classes[n];
    paths.set(label, `${paths.get(label) ?? ""}M${x.toFixed(1)} ${y.toFixed(1)}h0`);
  });
  const labels = [...paths.keys()].sort((a, b) => a - b);
  const kind = (label) =>
    label < 0 ? "hue-grey" : `hue-${label % CLASS_HUES}${Math.floor(label / CLASS_HUES) % 2 ? " square" : ""}`;
  const dots = labels.map((label) => svg("path", { class: `dots ${kind(label)}`, d: paths.get(label), "data-label": label }));
  const picked = svg("g", { class: "picks" });
  const picture = svg(
    "svg",
    { class: "map", viewBox: `0 0 ${MAP} ${MAP * 0.75}`, role: "img", "aria-label": `Map of ${plural(places.length, "sample")} of the pool; picks are ringed` },
    dots,
    picked,
  );
  const said = h("figcaption");
  const key = legend(
    "Classes: click to bring one out",
    labels.map((label) => ({
      name: label,
      swatch: svg("svg", { class: `dot ${kind(label)}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { class: "dots", d: "M6 6h0" })),
      text: label < 0 ? "class not known" : map.names[label],
    })),
    (chosen) => {
      picture.classList.toggle("choosing", chosen.size > 0);
      for (const path of dots) path.classList.toggle("lit", chosen.has(Number(path.dataset.label)));
    },
  );
  const rounds = [...new Set(names.flatMap((name) => map.picks[name].map(([, round]) => round)))].sort((a, b) => a - b);
  let [strategy, until] = [names[0], rounds.at(-1)];

  function mark() {
    const picks = (map.picks[strategy] ?? []).filter(([, round]) => round <= until);
    picked.replaceChildren(
      ...picks.map(([point, round]) => {
        const [cx, cy] = places[point];
        return svg(
          "circle",
          { class: round === until ? "pick latest" : "pick", cx: cx.toFixed(1), cy: cy.toFixed(1), r: 5 },
          svg("title", {}, `round ${round}${map.classes[point] < 0 ? "" : `, ${map.names[map.classes[point]]}`}`),
        );
      }),
    );
    const latest = picks.filter(([, round]) => round === until).length;
    said.textContent = names.length
      ? `${plural(picks.length, "pick")} of ${strategy} (seed ${map.seed}) up to round ${until}, ringed; the ${latest} of round ${until} in bold`
      : "The pool, without picks";
  }

  mark();
  return part(
    "Map of the pool",
    `${map.how}. A point is a sample, coloured by its class.`,
    h(
      "figure",
      {},
      h(
        "div",
        { class: "controls" },
        names.length > 1 ? choice("strategy", names.map((name) => [name, name]), strategy, (value) => mark((strategy = value))) : null,
        rounds.length > 1 ? stepper("up to round", rounds, (value) => `${value}`, (value) => mark((until = value))) : null,
      ),
      said,
      picture,
      key.list,
    ),
  );
}

// -- near-duplicates ---------------------------------------------------------------------------

function duplicatesPart({ how, picked, leaked, test, examples }) {
  const rows = Object.keys(picked).map((strategy) => ({ strategy, share: picked[strategy] }));
  const columns = [
    strategyColumn(),
    { head: "near-duplicates among the picks", value: (row) => row.share, first: "high", show: (row) => percent(row.share) },
  ];
  const leak = isNumber(leaked)
    ? h(
        "p",
        { class: leaked > 0 ? "leak" : null },
        `${leaked > 0 ? "⚠ " : ""}${whole(leaked)} of ${plural(test, "test sample")} (${percent(test ? leaked / test : 0)}) ${leaked === 1 ? "has" : "have"} a near-duplicate in the pool.`,
      )
    : null;
  return part(
    "Near-duplicates",
    `What counts as one: ${how}. The table has the mean share of picks that are near-duplicates of an earlier pick.`,
    leak,
    rows.length ? sortable("Near-duplicates among the picks", columns, rows) : null,
    examples.length ? h("h4", {}, "Pool and test, side by side") : null,
    examples.length
      ? h(
          "div",
          { class: "pairs" },
          examples.map(([pool, other]) =>
            h("div", { class: "pair" }, sideOf("pool", pool), sideOf("test", other)),
          ),
        )
      : null,
  );
}

function sideOf(name, { image, key }) {
  const shown = h("figure", { class: "thumbnail" }, picture(image, key, `${name} sample ${key}`), h("figcaption", {}, h("span", { class: "said" }, key)));
  return h("div", {}, h("span", { class: "side" }, name), shown);
}

function missingPart(missing) {
  return part("What could not be made", null, h("ul", {}, missing.map((text) => h("li", {}, text))));
}
