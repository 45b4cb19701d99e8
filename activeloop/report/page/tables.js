// Tables: sortable ones, heat tables, and intervals drawn in a column.

const LONG = 30; // rows that a table shows without scrolling

/** A box in which a wide or long table scrolls by itself, by keyboard too. */
const scrolling = (label, content, rows = 0) =>
  h("div", { class: rows > LONG ? "box long" : "box", role: "region", "aria-label": label, tabindex: 0 }, content);

/** A mean, and its interval in small print below. */
function estimateText(estimate, format) {
  if (!estimate) return NONE;
  const interval = between(estimate, format);
  return [format(estimate.mean), interval && h("small", {}, interval)];
}

/** A table that sorts by a click on a column's head; rows without a value come last.
 *
 * A column has `head`, `show(row)`, and perhaps `value(row)` to sort by, `text` (left-aligned),
 * `axis` (a drawing below its head) and `first` ("high": the first click sorts from the top). */
function sortable(caption, columns, rows, rowClass = () => null) {
  const body = h("tbody");
  const lines = rows.map((row) => ({
    row,
    line: h(
      "tr",
      { class: rowClass(row) },
      columns.map((column, n) => {
        const kind = { class: column.text ? "text" : null };
        return n === 0 ? h("th", { scope: "row", ...kind }, column.show(row)) : h("td", kind, column.show(row));
      }),
    ),
  }));
  body.append(...lines.map(({ line }) => line));
  const heads = columns.map((column) => {
    const cell = h("th", { scope: "col", class: column.text ? "text" : null });
    if (column.value && rows.length > 1) {
      cell.append(h("button", { type: "button", class: "sort", onclick: () => sort(column, cell) }, column.head));
    } else cell.append(column.head);
    if (column.axis) cell.append(column.axis);
    return cell;
  });
  function sort(column, cell) {
    const before = cell.getAttribute("aria-sort");
    const down = before ? before === "ascending" : column.first === "high";
    for (const head of heads) head.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    const absent = (value) => value === null || value === undefined;
    lines.sort((one, other) => {
      const a = column.value(one.row);
      const b = column.value(other.row);
      if (absent(a) || absent(b)) return absent(a) - absent(b);
      const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
      return down ? -order : order;
    });
    body.append(...lines.map(({ line }) => line));
  }
  return scrolling(
    caption,
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, heads)), body),
    rows.length,
  );
}

const strategyColumn = (baseline = null) => ({
  head: "strategy",
  text: true,
  value: (row) => row.strategy,
  show: (row) => [strategyLabel(row.strategy), row.strategy === baseline ? h("small", {}, "baseline") : null],
});

/** A matrix whose cells are the darker the higher: `most` is full tone. */
function heat(caption, { rows, columns, matrix, format, most, corner, skip }) {
  const cells = matrix.map((line, i) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "text" }, rows[i]),
      line.map((value, j) => {
        if (skip(i, j)) return h("td", { class: "void" }, "·");
        const cell = h("td", { class: "heat" }, format(value));
        const tone = most > 0 && isNumber(value) ? Math.min(1, Math.max(0, value / most)) : 0;
        cell.style.setProperty("--tone", `${(34 * tone).toFixed(1)}%`);
        return cell;
      }),
    ),
  );
  const heads = columns.map((name) => h("th", { scope: "col", class: "turned" }, h("span", {}, name)));
  return scrolling(
    caption,
    h(
      "table",
      { class: "matrix" },
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, h("th", { class: "text corner" }, corner), heads)),
      h("tbody", {}, cells),
    ),
  );
}

const PLOT = 190;

/** A column that draws each row's estimate as a dot with its interval, all on one scale.
 *
 * `zero` is marked by a line, `band` (an estimate) shaded behind every row. */
function intervalColumn(head, rows, { estimate, format, zero = null, band = null, look }) {
  const all = [...rows.map(estimate), band].filter((e) => e && isNumber(e.mean));
  const ends = all.flatMap((e) => [e.mean, e.low ?? e.mean, e.high ?? e.mean]).concat(zero ?? []);
  const [low, high] = widened(Math.min(...ends), Math.max(...ends));
  const x = (value) => 8 + ((PLOT - 16) * (value - low)) / (high - low);
  const drawing = (height, ...children) =>
    svg("svg", { class: "interval", viewBox: `0 0 ${PLOT} ${height}`, width: PLOT, height, "aria-hidden": "true" }, children);
  const at = (value, kind) => svg("path", { class: kind, d: `M${x(value).toFixed(1)} 0V28` });
  const axis = drawing(
    16,
    ticks(low, high, 3).map((tick) => svg("text", { x: x(tick), y: 12, "text-anchor": "middle" }, format(tick))),
  );
  return {
    head,
    axis: all.length ? axis : null,
    value: (row) => estimate(row)?.mean,
    first: "high",
    show: (row) => {
      const e = estimate(row);
      const shown = e && isNumber(e.mean);
      return drawing(
        28,
        band && isNumber(band.low)
          ? svg("rect", { class: "floor", x: x(band.low), y: 0, width: x(band.high) - x(band.low), height: 28 })
          : null,
        ticks(low, high, 3).map((tick) => at(tick, "grid")),
        zero === null ? null : at(zero, "zero"),
        shown
          ? svg(
              "g",
              { class: `hue-${lookOf(look(row)).hue}` },
              isNumber(e.low) ? svg("path", { class: "whisker", d: `M${x(e.low).toFixed(1)} 14H${x(e.high).toFixed(1)}` }) : null,
              markerAt(lookOf(look(row)), x(e.mean), 14),
            )
          : null,
      );
    },
  };
}

/** Room to both sides, and some where all is one value. */
function widened(low, high, share = 0.04) {
  if (!Number.isFinite(low)) return [0, 1];
  const room = (high - low) * share || Math.abs(low) * share || 0.5;
  return [low - room, high + room];
}

function ticks(low, high, most, least = 0) {
  const rough = Math.max((high - low) / most, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((n) => n * power >= rough * (1 - 1e-9));
  const list = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) list.push(n * step);
  return list;
}
