// Which keys make a row, and which of these are the colour, the dash or a chart of their own: so that 25 curves of two
// keys can be read. Called by answer.js with `view`; all of it stands in the address.
(function () {
  "use strict";
  const { el, ordered, chip } = window.runslotChart;
  const WAYS = { colour: "Colour", dash: "Dash", facet: "A chart for each" };
  const STROKES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const MOST = { dash: STROKES.length, facet: 16 };
  // From low to high where a key has more values than there are colours that can be told apart.
  const RAMP = [[0, 114, 178], [0, 158, 115], [230, 159, 0], [213, 94, 0]];

  function ramp(share) {
    const place = share * (RAMP.length - 1), i = Math.min(RAMP.length - 2, Math.floor(place));
    return `rgb(${RAMP[i].map((from, c) => Math.round(from + (place - i) * (RAMP[i + 1][c] - from))).join(",")})`;
  }

  function make(view) {
    const { page, state, choose } = view;
    const keys = page.variants ? view.keys() : [];
    const values = new Map(keys.map((name) => [name, ordered(view.inTask().map((v) => view.valueOf(v, name)))]));
    const fits = (way, name) => !MOST[way] || values.get(name).length <= MOST[way];
    const key = (way) => (keys.includes(state[way]) && fits(way, state[way]) ? state[way] : "");
    const told = Object.keys(WAYS).map(key).filter(Boolean), isOn = told.length > 0;
    // Without a key of its own the colour tells the keys that nothing else tells.
    const rest = keys.filter((name) => !told.includes(name));
    const combination = (variant) => rest.map((name) => view.valueOf(variant, name)).join(", ");
    const combinations = isOn && !key("colour") ? [...new Set(view.inTask().map(combination))] : [];

    function colourAt(place, count) {
      const { colours } = page.strokes;
      return count <= colours.length ? colours[place] : ramp(place / (count - 1));
    }
    function colourOf(variant) {
      const name = key("colour");
      if (name) return colourAt(values.get(name).indexOf(view.valueOf(variant, name)), values.get(name).length);
      return colourAt(combinations.indexOf(combination(variant)), combinations.length);
    }
    function dashOf(variant) {
      const name = key("dash");
      return name ? STROKES[values.get(name).indexOf(view.valueOf(variant, name))] : "solid";
    }
    const strokeOf = (variant) => ({ colour: colourOf(variant), dash: dashOf(variant) });

    // Of each key that colour or dash tells, a stroke a value; pointing at one dims the others, a click selects it.
    function legend(shown) {
      if (!isOn) return null;
      const group = (way, name, entries) => el("div", { class: "channel", "data-way": way }, el("b", {}, name),
        entries.map(([text, members, stroke]) => el("button", { class: "icon", "data-focus": `channel ${way} ${text}`, "data-value": text, title: `Select those with ${name}=${text}`, onpointerenter: () => view.light(members.map((v) => v.label)), onpointerleave: () => view.light(null), onfocus: () => view.light(members.map((v) => v.label)), onblur: () => view.light(null),
          onclick: () => { const labels = members.map((v) => v.label), on = labels.every((label) => state.show.includes(label)); choose({ show: on ? state.show.filter((label) => !labels.includes(label)) : [...new Set([...state.show, ...labels])] }); } },
        chip(stroke.colour, stroke.dash), text)));
      const ofKey = (way, name) => group(way, name, values.get(name).map((text, i) => [text, shown.filter((v) => view.valueOf(v, name) === text), way === "colour" ? { colour: colourAt(i, values.get(name).length), dash: "solid" } : { colour: "currentColor", dash: STROKES[i] }]).filter(([, members]) => members.length));
      return el("div", { class: "channels", id: "legend" }, key("colour") ? ofKey("colour", key("colour")) : null, key("dash") ? ofKey("dash", key("dash")) : null);
    }

    // The charts: one for each value of the key that has charts of its own.
    function facets(shown) {
      const name = key("facet");
      if (!name) return [["", shown]];
      return values.get(name).map((text) => [`${name}=${text}`, shown.filter((v) => view.valueOf(v, name) === text)]).filter(([, members]) => members.length);
    }

    function select(way) {
      const entries = keys.map((name) => { const isFit = fits(way, name); return el("option", { value: name, selected: key(way) === name ? "" : null, disabled: isFit ? null : "" }, isFit ? name : `${name} (${values.get(name).length} values; ${MOST[way]} at most)`); });
      return el("label", {}, WAYS[way], el("select", { "data-focus": `way ${way}`, id: `way-${way}`, onchange: (event) => choose({ [way]: event.target.value }) }, el("option", { value: "" }, way === "facet" ? "no: one chart" : way === "dash" ? "no key" : "each by itself"), entries));
    }

    // Another grouping has other rows: what was selected of the old ones is no row any more.
    function regroup(name) {
      const now = page.keys.includes(name) ? page.keys.filter((one) => one !== name) : page.identity.filter((one) => one === name || page.keys.includes(one));
      const gone = Object.fromEntries(Object.keys(WAYS).filter((way) => state[way] && !now.includes(state[way])).map((way) => [way, ""]));
      choose({ group: now.length === page.identity.length ? [] : now.length ? now : ["-"], show: [], off: [], base: "", pick: [], order: "", ...gone });
    }

    function chooser() {
      const box = (name) => el("label", {}, el("input", { type: "checkbox", "data-focus": `group ${name}`, checked: page.keys.includes(name), disabled: page.task_keys.includes(name), title: page.task_keys.includes(name) ? "Tasks have scales of their own, and are never pooled" : null, onchange: () => regroup(name) }), name);
      const rows = view.embedded || page.identity.length < 2 ? null : el("fieldset", {}, el("legend", {}, "A row for each"), page.identity.map(box));
      const ways = keys.length < 2 ? null : el("fieldset", {}, el("legend", {}, "Curves"), Object.keys(WAYS).map(select));
      if (!rows && !ways) return null;
      const active = Object.keys(WAYS).filter(key).map((way) => `${way} ${view.brief(key(way))}`), pooled = page.pooled.length ? [`${page.pooled.length} pooled`] : [];
      const words = [...active, ...pooled].join(", ");
      const reset = words ? el("button", { class: "plain", "data-focus": "grouping reset", onclick: () => choose({ group: [], colour: "", dash: "", facet: "", ...(page.pooled.length ? { show: [], off: [], base: "" } : {}) }) }, "Reset") : null;
      const node = el("details", { class: "sheet-holder", id: "grouping", ontoggle: (event) => { view.open.grouping = event.target.open; } }, el("summary", { class: "plain", "data-focus": "grouping" }, words ? `Grouping: ${words}` : "Grouping"), el("div", { class: "sheet" }, rows, ways, reset));
      node.open = Boolean(view.open.grouping);
      return node;
    }

    return { isOn, strokeOf, legend, facets, chooser, told };
  }

  window.runslotChannels = { make };
})();
