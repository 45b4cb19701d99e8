// The learning curves of a comparison, with their controls, legend, reading line and numbers.

/** Mean seconds by then, for each label count at which some run has a round. */
function secondsAt(runs) {
  const sums = new Map();
  for (const run of runs)
    run.labels.forEach((labels, n) => {
      if (!isNumber(run.seconds[n])) return;
      const sum = sums.get(labels) ?? [0, 0];
      sums.set(labels, [sum[0] + run.seconds[n], sum[1] + 1]);
    });
  return (labels) => (sums.has(labels) ? sums.get(labels)[0] / sums.get(labels)[1] : null);
}

/** What the seconds of a comparison were spent on, in words. */
function secondsOf(comparison) {
  const parts = [...new Set(comparison.table.flatMap((row) => Object.keys(row.seconds)))].map((name) => WORK[name] ?? name);
  return parts.length ? parts.join(", ").replace(/, ([^,]*)$/, " and $1") : "all work";
}

/** The curves of one metric as series for the chart, in the comparison's order. */
function seriesOf(comparison, metric, by, log) {
  const usable = (point) => isNumber(point.x) && !(log && point.x <= 0);
  return comparison.strategies.flatMap((name) => {
    const curve = comparison.curves.find((c) => c.strategy === name && c.metric === metric);
    if (!curve) return [];
    const seconds = secondsAt(curve.runs);
    const points = curve.labels.map((labels, n) => {
      const { mean, low, high, n: seeds } = curve.estimates[n];
      return { labels, x: by === "labels" ? labels : seconds(labels), y: mean, low, high, seeds };
    });
    const runs = curve.runs.map((run) => ({
      seed: run.seed,
      points: run.values.map((y, n) => ({ x: run[by][n], y })).filter(usable),
    }));
    return [{ name, points: points.filter(usable), runs }];
  });
}

function curveFigure(comparison) {
  const metrics = comparison.metrics.filter((m) => comparison.curves.some((c) => c.metric === m));
  const timed = comparison.curves.some((c) => c.runs.some((run) => run.seconds.some((s) => s > 0)));
  const names = comparison.strategies.filter((name) => comparison.curves.some((c) => c.strategy === name));
  let [metric, by, log] = [metrics[0], "labels", false];
  let [chart, series, width] = [null, [], 0];
  let lit = new Set();

  const caption = h("figcaption");
  const note = h("p", { class: "note" });
  const plot = h("div", { class: "plot" });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  const key = legend(
    "Strategies: click to show the runs behind a line",
    names.map((name) => ({ name, swatch: swatch(name), text: h("span", {}, breakable(name)) })),
    (chosen) => show((lit = chosen)),
  );
  const numbers = h("details", { class: "numbers", ontoggle: fill }, h("summary", {}, "The numbers of this chart"));
  const changed = (change) => (value) => {
    change(value);
    draw();
    fill();
  };

  function draw() {
    width = plot.clientWidth;
    if (!width) return;
    series = seriesOf(comparison, metric, by, log);
    const format = metricFormat(metric);
    const better = comparison.higher_is_better[metric];
    const direction = !isKnown(better) ? "" : better ? ", higher is better" : ", lower is better";
    const across = by === "labels" ? "labels" : `seconds of ${secondsOf(comparison)}`;
    const scaled = `${across}${log ? ", logarithmic" : ""}`;
    const ceiling = comparison.ceiling?.[metric];
    caption.textContent = `${titleOf(metric)} against ${by}: ${whatIsDrawn(series)}`;
    if (!series.some((s) => s.points.some((p) => isNumber(p.y)))) {
      plot.replaceChildren(h("p", { class: "note" }, "Nothing to draw on these axes."));
      note.textContent = "";
      return;
    }
    chart = lineChart({
      width,
      series,
      ceiling,
      log,
      xLabel: scaled,
      yLabel: `${metricName(metric)}${direction}`,
      share: SHARES.has(metric),
      format: tickFormat(metric),
      description: `${caption.textContent}; ${plural(series.length, "strategy", "strategies")}. Arrow keys read it point by point; its numbers follow as a table.`,
    });
    const beyond = isNumber(ceiling) && (ceiling < chart.low || ceiling > chart.high);
    note.textContent = [
      `The y axis is zoomed to the data: ${format(chart.low < 0 && SHARES.has(metric) ? 0 : chart.low)} to ${format(SHARES.has(metric) ? Math.min(1, chart.high) : chart.high)}.`,
      chart.cut ? "Intervals are cut where they leave it." : "",
      beyond ? `The same learner on the whole pool, beyond it: ${format(ceiling)}.` : "",
      series.some((s) => s.points.some((p) => p.seeds < 2 && !isNumber(p.low))) ? "Where there is one seed there is no interval." : "",
      by === "seconds" ? "Each mean stands at the mean of its runs’ seconds by then." : "",
      log && seriesOf(comparison, metric, by, false).some((s) => s.points.some((p) => p.x <= 0)) ? "What lies at 0 has no place on a logarithmic axis." : "",
    ].filter(Boolean).join(" ");
    plot.replaceChildren(chart.picture, tip);
    listen(chart.picture);
    show(lit);
  }

  function show(chosen) {
    if (!chart) return;
    chart.picture.classList.toggle("choosing", chosen.size > 0);
    for (const group of chart.picture.querySelectorAll(".series"))
      group.classList.toggle("lit", chosen.has(group.dataset.strategy));
  }

  // -- reading the chart -----------------------------------------------------------------------

  function listen(picture) {
    let at = null;
    const cross = svg("path", { class: "cross", visibility: "hidden" });
    const ring = svg("circle", { class: "ring", r: 6, visibility: "hidden" });
    picture.append(cross, ring);

    function read(place, near = true) {
      at = place;
      const hidden = place === null;
      tip.hidden = hidden;
      for (const mark of [cross, ring]) mark.setAttribute("visibility", hidden ? "hidden" : "visible");
      if (hidden) return show(lit);
      cross.setAttribute("d", `M${place.x.toFixed(1)} ${chart.area.top}V${chart.area.bottom}`);
      ring.setAttribute("cx", place.x);
      ring.setAttribute("cy", place.y);
      tip.replaceChildren(...tipOf(place));
      const left = place.x < width / 2;
      tip.style.left = left ? `${place.x + 14}px` : "auto";
      tip.style.right = left ? "auto" : `${width - place.x + 14}px`;
      show(near ? new Set([...lit, place.name]) : lit);
    }

    // Only a line that is pointed at is brought out: the others stay readable on the way there.
    const pointed = (event) => {
      const box = picture.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const far = (place) => Math.hypot(place.x - x, place.y - y);
      const place = chart.drawn.reduce((best, other) => (far(other) < far(best) ? other : best));
      read(place, far(place) < 30);
    };
    picture.addEventListener("pointermove", pointed);
    picture.addEventListener("pointerdown", pointed);
    // A finger that is lifted leaves what it pointed at, to be read.
    picture.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && read(null));
    picture.addEventListener("blur", () => read(null));
    picture.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return read(null);
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault();
      if (at === null) return read(chart.drawn.findLast((place) => place.name === chart.drawn[0].name));
      const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
      const beside = chart.drawn
        .filter((p) => (sideways ? p.name === at.name : p.point.labels === at.point.labels))
        .sort((a, b) => (sideways ? a.x - b.x : a.y - b.y));
      const step = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1;
      read(beside[beside.indexOf(at) + step] ?? at);
    });
  }

  function tipOf(place) {
    const format = metricFormat(metric);
    const seconds = by === "seconds" ? `, ${duration(place.point.x)}` : "";
    const alike = chart.drawn
      .filter((p) => (by === "labels" ? p.point.labels === place.point.labels : p === place))
      .sort((a, b) => a.y - b.y);
    const first = Math.max(0, Math.min(alike.indexOf(place) - 3, alike.length - 8));
    const rows = alike.slice(first, first + 8).map((p) =>
      h(
        "tr",
        { class: p === place ? "here" : null },
        h("td", {}, strategyLabel(p.name)),
        h("td", {}, format(p.point.y), h("small", {}, between(p.point, format))),
      ),
    );
    const left = alike.length - rows.length;
    return [
      h("strong", {}, `${plural(place.point.labels, "label")}${seconds}, ${plural(place.point.seeds, "seed")}`),
      h("table", {}, h("tbody", {}, rows)),
      left > 0 ? h("small", {}, `and ${left} more`) : "",
    ];
  }

  function fill() {
    if (!numbers.open) return;
    const format = metricFormat(metric);
    const all = seriesOf(comparison, metric, "labels", false);
    const labels = [...new Set(all.flatMap((s) => s.points.map((p) => p.labels)))].sort((a, b) => a - b);
    const columns = [
      { head: "labels", show: (row) => whole(row) },
      ...all.map(({ name, points: known }) => {
        const at = new Map(known.map((p) => [p.labels, p]));
        const cell = (row) => at.get(row) && { ...at.get(row), mean: at.get(row).y };
        return { head: strategyLabel(name), show: (row) => estimateText(cell(row), format) };
      }),
    ];
    numbers.replaceChildren(
      numbers.firstChild,
      sortable(`${metricName(metric)} by labels: ${whatIsDrawn(all)}`, columns, labels),
    );
  }

  new ResizeObserver(() => plot.clientWidth !== width && draw()).observe(plot);
  return h(
    "figure",
    { class: "curves" },
    h(
      "div",
      { class: "controls" },
      metrics.length > 1 ? choice("metric", metrics.map((m) => [m, metricName(m)]), metric, changed((value) => (metric = value))) : null,
      timed ? switches("against", [["labels", "labels"], ["seconds", "seconds"]], by, changed((value) => (by = value))) : null,
      switches("axis", [["linear", "linear"], ["log", "log"]], "linear", changed((value) => (log = value === "log"))),
    ),
    caption,
    plot,
    key.list,
    h("p", { class: "note hint" }, "Point at a strategy, or click it, to see the runs behind its line."),
    note,
    numbers,
  );
}

/** What a point is: of one run each, it is no mean, and has an interval only where the run has. */
function whatIsDrawn(series) {
  const points = series.flatMap((s) => s.points);
  if (points.some((p) => p.seeds > 1)) return "mean over seeds and its 95% interval";
  return points.some((p) => isNumber(p.low)) ? "one run, and the 95% interval of each point" : "one run";
}

/** Ticks are round numbers: no digits that say nothing. */
function tickFormat(metric) {
  return SHARES.has(metric) ? (share) => `${Number((100 * share).toFixed(2))}%` : (value) => String(Number(value.toPrecision(6)));
}
