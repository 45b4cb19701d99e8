// Lines over an axis of numbers: axes, bands, the runs behind them, labels at the ends.

/** From a value to its place, linearly or by its logarithm. */
function scale(low, high, from, to, log = false) {
  const f = log ? Math.log : (value) => value;
  return (value) => from + ((to - from) * (f(value) - f(low))) / (f(high) - f(low));
}

function logTicks(low, high, most) {
  const list = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const lead of [1, 2, 5]) list.push({ lead, value: lead * 10 ** power });
  const inside = list.filter(({ value }) => value >= low * 0.999 && value <= high * 1.001);
  if (inside.length < 3) return ticks(low, high, most).filter((value) => value > 0);
  const few = inside.length > most ? inside.filter(({ lead }) => lead === 1) : inside;
  return few.map(({ value }) => value);
}

const measuring = document.createElement("canvas").getContext("2d");

function textWidth(text) {
  measuring.font = "12px system-ui, sans-serif";
  return measuring.measureText(text).width;
}

/** `M`oves over what is not known. */
function pathOf(points, x, y) {
  let pen = "M";
  let path = "";
  for (const point of points) {
    if (!isNumber(point.y)) pen = "M";
    else {
      path += `${pen}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`;
      pen = "L";
    }
  }
  return path;
}

/** The area between `low` and `high`, wherever both are known. */
function bandOf(points, x, y) {
  const stretches = [[]];
  for (const point of points) {
    if (isNumber(point.low) && isNumber(point.high)) stretches.at(-1).push(point);
    else stretches.push([]);
  }
  const corner = (point, value) => `${x(point.x).toFixed(1)} ${y(value).toFixed(1)}`;
  return stretches
    .filter((stretch) => stretch.length > 1)
    .map((stretch) => {
      const there = stretch.map((point) => corner(point, point.high));
      const back = stretch.map((point) => corner(point, point.low)).reverse();
      return `M${[...there, ...back].join("L")}Z`;
    })
    .join("");
}

/** The y axis: as far as means, runs and a near ceiling go, bands only as far as they fit. */
function domainOf(series, ceiling, share) {
  const values = series.flatMap((s) => [...s.points, ...s.runs.flatMap((run) => run.points)].map((p) => p.y)).filter(isNumber);
  // Not Math.min(...values): a sweep has more values than a call takes arguments.
  let low = values.reduce((a, b) => Math.min(a, b), Infinity);
  let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const reach = high - low;
  if (isNumber(ceiling) && ceiling <= high + reach && ceiling >= low - reach) {
    low = Math.min(low, ceiling);
    high = Math.max(high, ceiling);
  }
  [low, high] = widened(low, high);
  return share ? [Math.max(low, -0.01), Math.min(high, 1.01)] : [low, high];
}

/** Where texts of 12 px go so that none covers another, each as near its own height as can be. */
function spread(wanted, top, bottom, gap = 14) {
  const order = wanted.map((y, n) => ({ y, n })).sort((a, b) => a.y - b.y);
  let last = top - gap;
  for (const entry of order) last = entry.y = Math.max(entry.y, last + gap);
  let next = bottom + gap;
  for (const entry of order.reverse()) next = entry.y = Math.min(entry.y, next - gap);
  const places = [];
  for (const { y, n } of order) places[n] = y;
  return places;
}

const LABELLED = 12; // more strategies than this are named by the legend alone

/** Draw series of `{name, points: [{x, y, low, high}], runs: [{seed, points}]}`.
 *
 * Returns the picture, the drawn points with their places, and what the y axis shows. */
function lineChart({ width, series, ceiling, log, xLabel, yLabel, share, format, description }) {
  const height = Math.round(Math.min(440, Math.max(270, width * 0.52)));
  const ends = series.map((s) => s.points.findLast((p) => isNumber(p.y)));
  const named =
    width >= 620 && series.length <= LABELLED && ends.every((end) => end && end.x === ends[0].x);
  const room = named ? Math.min(180, 24 + Math.max(...series.map((s) => textWidth(s.name)))) : 16;
  const area = { left: 52, right: width - room, top: 30, bottom: height - 44 };

  let [xLow, xHigh] = [Infinity, -Infinity];
  for (const s of series)
    for (const p of [...s.points, ...s.runs.flatMap((run) => run.points)]) {
      xLow = Math.min(xLow, p.x);
      xHigh = Math.max(xHigh, p.x);
    }
  if (xLow === xHigh) [xLow, xHigh] = log ? [xLow / 2, xHigh * 2] : widened(xLow, xHigh);
  const [yLow, yHigh] = domainOf(series, ceiling, share);
  const x = scale(xLow, xHigh, area.left + 6, area.right - 6, log);
  const y = scale(yLow, yHigh, area.bottom, area.top);
  const across = Math.max(2, Math.floor((area.right - area.left) / 62));

  const clip = newId();
  const picture = svg("svg", {
    class: "chart",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": description,
    tabindex: 0,
  });
  picture.append(
    svg("clipPath", { id: clip }, svg("rect", { x: area.left, y: area.top - 4, width: area.right - area.left, height: area.bottom - area.top + 8 })),
    svg("text", { class: "axis-name", x: 4, y: 15 }, yLabel),
    svg("text", { class: "axis-name", x: (area.left + area.right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
    ...ticks(yLow, yHigh, height / 45).map((tick) =>
      svg(
        "g",
        { class: "tick" },
        svg("path", { class: "grid", d: `M${area.left} ${y(tick).toFixed(1)}H${area.right}` }),
        svg("text", { x: area.left - 8, y: y(tick) + 4, "text-anchor": "end" }, format(tick)),
      ),
    ),
    ...(log ? logTicks(xLow, xHigh, across) : ticks(xLow, xHigh, across)).map((tick) =>
      svg(
        "g",
        { class: "tick" },
        svg("path", { class: "grid", d: `M${x(tick).toFixed(1)} ${area.bottom}v5` }),
        svg("text", { x: x(tick), y: area.bottom + 19, "text-anchor": "middle" }, tick >= 10 || Number.isInteger(tick) ? whole(tick) : plain(tick)),
      ),
    ),
    svg("path", { class: "axis", d: `M${area.left} ${area.bottom}H${area.right}` }),
  );
  const inside = svg("g", { "clip-path": `url(#${clip})` });
  picture.append(inside);
  if (isNumber(ceiling) && ceiling >= yLow && ceiling <= yHigh)
    inside.append(
      svg("path", { class: "ceiling", d: `M${area.left} ${y(ceiling).toFixed(1)}H${area.right}` }),
      svg("text", { class: "ceiling-name", x: area.left + 6, y: y(ceiling) + (y(ceiling) < area.top + 16 ? 14 : -5) }, `whole pool: ${format(ceiling)}`),
    );

  const drawn = [];
  series.forEach((s, n) => {
    const look = lookOf(s.name);
    const every = Math.ceil(s.points.length / 12);
    const known = s.points.filter((p) => isNumber(p.y));
    const places = known.map((point) => ({ name: s.name, point, x: x(point.x), y: y(point.y) }));
    drawn.push(...places);
    inside.append(
      svg(
        "g",
        { class: `series hue-${look.hue}`, "data-strategy": s.name },
        svg("path", { class: "band", d: bandOf(s.points, x, y) }),
        svg("g", { class: "runs" }, s.runs.map((run) => svg("path", { class: "run", d: pathOf(run.points, x, y) }, svg("title", {}, `${s.name}, seed ${run.seed}`)))),
        svg("path", { class: "line", d: pathOf(s.points, x, y), "stroke-dasharray": dashOf(look) }),
        places.filter((_, i) => (i + n) % every === 0).map((place) => markerAt(look, place.x, place.y)),
      ),
    );
  });
  if (named) {
    const places = spread(ends.map((end) => y(end.y)), area.top, area.bottom);
    series.forEach((s, n) => {
      const [from, to] = [x(ends[n].x) + 4, area.right + 6];
      picture.append(
        svg(
          "g",
          { class: `end hue-${lookOf(s.name).hue}` },
          svg("path", { class: "leader", d: `M${from.toFixed(1)} ${y(ends[n].y).toFixed(1)}L${to} ${places[n].toFixed(1)}` }),
          svg("text", { x: to + 4, y: places[n] + 4 }, fitted(s.name, room - 16)),
        ),
      );
    });
  }
  const cut = series.some((s) => s.points.some((p) => p.low < yLow || p.high > yHigh));
  return { picture, drawn, area, low: yLow, high: yHigh, cut };
}

function fitted(text, width) {
  if (textWidth(text) <= width) return text;
  let kept = text;
  while (kept && textWidth(`${kept}…`) > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}
