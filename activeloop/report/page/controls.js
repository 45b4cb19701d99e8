// Controls, each with its label. None of them is printed.

/** A choice from a list; `options` are pairs of value and text. */
function choice(label, options, value, onChange) {
  const select = h("select", { onchange: () => onChange(options[select.selectedIndex][0]) });
  for (const [option, text] of options) select.append(h("option", { selected: option === value }, text));
  return h("label", { class: "control" }, h("span", {}, label), select);
}

/** A choice between few, all in sight. */
function switches(label, options, value, onChange) {
  const name = newId();
  return h(
    "fieldset",
    { class: "control switches" },
    h("legend", {}, label),
    options.map(([option, text]) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name, value: option, checked: option === value, onchange: () => onChange(option) }),
        h("span", {}, text),
      ),
    ),
  );
}

/** A way through ordered values: a slider, and a button to each side. It starts at the last, or where it is told. */
function stepper(label, values, show, onChange, start = values.at(-1)) {
  const id = newId();
  const output = h("output", { for: id });
  const slider = h("input", {
    id,
    type: "range",
    min: 0,
    max: values.length - 1,
    value: values.indexOf(start),
    oninput: () => settle(Number(slider.value)),
  });
  const back = h("button", { type: "button", "aria-label": `${label}: one back`, onclick: () => settle(Number(slider.value) - 1) }, "‹");
  const on = h("button", { type: "button", "aria-label": `${label}: one on`, onclick: () => settle(Number(slider.value) + 1) }, "›");
  function settle(n, quiet = false) {
    slider.value = n;
    output.value = show(values[n]);
    slider.setAttribute("aria-valuetext", show(values[n]));
    back.disabled = n === 0;
    on.disabled = n === values.length - 1;
    if (!quiet) onChange(values[n]);
  }
  settle(values.indexOf(start), true);
  return h("div", { class: "control stepper" }, h("label", { for: id }, label), back, slider, on, output);
}

/** Entries that light up what they name: for a while under the pointer or with the focus, for good
 * (until the next click) when clicked. `light(names)` is told the names that are lit. */
function legend(label, entries, light) {
  const pinned = new Set();
  const tell = (...more) => light(new Set([...pinned, ...more]));
  const list = h("ul", { class: "legend", "aria-label": label });
  for (const { name, swatch: picture, text } of entries) {
    const button = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onpointerenter: () => tell(name),
        onpointerleave: () => tell(),
        onfocus: () => tell(name),
        onblur: () => tell(),
        onclick: () => {
          if (!pinned.delete(name)) pinned.add(name);
          button.setAttribute("aria-pressed", String(pinned.has(name)));
          tell();
        },
      },
      picture,
      text,
    );
    list.append(h("li", {}, button));
  }
  return { list, pinned };
}
