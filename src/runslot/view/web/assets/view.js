// What happens in the browser alone: choices to the address, cells of the table, light and dark for table and plots.
(function () {
  "use strict";
  const NOTHING = "-";
  const OF_TABLE = ["sort", "pin", "tick"];  // as in choices.py

  const state = { paint: new Map(), last: null };
  const again = () => window.runslotLive.again();

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  // The same rules as Choices.query in choices.py: defaults are left out, an emptied list is "-".
  function query(values, ids, defaults) {
    const pairs = new URLSearchParams();
    const path = new URLSearchParams(window.location.search).get("path");  // no choice on the page: how it was opened
    if (path) pairs.append("path", path);
    ids.forEach((id, i) => {
      const value = values[i], usual = defaults[id.name];
      if (value === null || value === undefined || value === "" || same(value, usual)) return;
      if (!Array.isArray(value)) { pairs.append(id.name, String(value)); return; }
      if (value.length === 0) { if (usual && usual.length) pairs.append(id.name, NOTHING); return; }
      const list = !id.name.startsWith("only.") && !id.name.startsWith("not.");
      value.forEach((item) => pairs.append(id.name, list && item.startsWith(NOTHING) ? NOTHING + item : item));
    });
    return pairs.toString();
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    runslot: {
      // `text` asks the server; the address also has how the table stands. The first of a page takes the place of what
      // somebody wrote; each later choice is a step that Back undoes.
      remember(values, ids, defaults, before) {
        const whole = query(values, ids, defaults || {});
        const drawn = ids.map((id, i) => (OF_TABLE.includes(id.name) ? null : values[i]));
        const text = query(drawn, ids, defaults || {});
        const table = document.getElementById("table");
        if (table && (table.dataset.open === "true" || ((before === null || before === undefined) && window.runslotLive.wasOpen()))) { delete table.dataset.open; window.runslotLive.openTable(); }
        const kind = values[ids.findIndex((id) => id.name === "kind")] || "curves";
        document.documentElement.dataset.kind = kind;
        document.documentElement.dataset.by = values[ids.findIndex((id) => id.name === "by")] || "final";
        const address = window.location.pathname + (whole ? "?" + whole : "");
        if (address !== window.location.pathname + window.location.search) {
          const first = before === null || before === undefined;
          window.history[first ? "replaceState" : "pushState"](null, "", address);
        }
        const more = text ? "&" + text : "";
        return [text, "/export?as=pdf" + more, "/export?as=svg" + more, "/export?as=png" + more];
      },
      grow: window.runslotLive.grow,
      note: window.runslotLive.note,
      // Other rows, where the table is open.
      fill(content) {
        if (content && document.getElementById("runs")) window.dash_clientside.set_props("runs", content);
        return window.dash_clientside.no_update;
      },
      // Other curves for the same runs: their numbers alone are sent, in the order of the runs' names.
      paint(numbers) {
        state.paint = new Map();
        if (numbers && document.getElementById("runs")) {
          window.dash_ag_grid.getApiAsync("runs").then((api) => {
            const runs = [];
            api.forEachNode((node) => runs.push(node.data.run));
            if (runs.length !== numbers.length) { again(); return; }
            runs.sort().forEach((run, i) => state.paint.set(run, numbers[i]));
            api.refreshCells({ columns: ["run"], force: true });
          });
        }
        return window.dash_clientside.no_update;
      },
      // A box drawn over an axis of parallel coordinates marks that part of it.
      brush(selected, figures, marks) {
        const none = window.dash_clientside.no_update;
        (selected || []).forEach((one, i) => {
          const layout = (figures[i] || {}).layout || {}, axes = (layout.meta || {}).axes, range = (one || {}).range;
          if (!axes || !range || !range.x || state.last === one) return;
          state.last = one;
          const axis = axes[Math.round((range.x[0] + range.x[1]) / 2)];
          const [from, to] = [Math.min(...range.y), Math.max(...range.y)];
          if (!axis || to - from < 0.005) return;
          const text = (escaped) => escaped.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
          const column = text(axis.column);
          let mark;
          if (axis.values) {
            const inside = axis.values.filter((_, at) => (at + 0.5) / axis.values.length >= from && (at + 0.5) / axis.values.length <= to);
            if (!inside.length) return;
            mark = column + " in " + inside.map(text).join(" | ");
          } else {
            const value = (at) => {
              const share = Math.min(1, Math.max(0, at));
              const exact = axis.knots ? between(axis.knots, share) : axis.log ? axis.low * (axis.high / axis.low) ** share : axis.low + share * (axis.high - axis.low);
              return Number(exact.toPrecision(6));
            };
            mark = column + " from " + value(from) + " to " + value(to);
          }
          const others = (marks || []).filter((m) => !m.startsWith(column + " from ") && !m.startsWith(column + " in "));
          window.dash_clientside.set_props({ type: "choice", name: "brush" }, { value: others.concat([mark]) });
        });
        return none;
      },
      // There are metrics or parameters that the controls do not have; all choices are in the address.
      reload(outgrown) {
        if (outgrown) window.location.reload();
        return window.dash_clientside.no_update;
      },
      navbar(opened, shown) {
        return Object.assign({}, shown, { collapsed: { mobile: !opened } });
      },
      compare(rows) {
        const two = (rows || []).length === 2;
        const address = two ? "/compare?" + new URLSearchParams([["a", rows[0].run], ["b", rows[1].run]]) : "/compare";
        return [address, "rs-export" + (two ? "" : " rs-off")];
      },
    },
  });

  // Back and forward: the page is drawn as the address says.
  window.addEventListener("popstate", () => {
    if (!document.getElementById("panels")) return;
    window.dash_clientside.set_props("back", { data: { search: window.location.search, at: Date.now() } });
  });

  // A click on a curve's name hides or shows the curve; what is hidden stands in the address, too.
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-series]");
    if (!button) return;
    const hidden = new URLSearchParams(window.location.search).getAll("hide")
      .map((item) => (item.startsWith(NOTHING) ? item.slice(1) : item));
    const label = button.dataset.series;
    const now = hidden.includes(label) ? hidden.filter((item) => item !== label) : hidden.concat([label]);
    window.dash_clientside.set_props({ type: "choice", name: "hide" }, { value: now, data: now });
  });

  // The value at a place of a scale by rank, which is straight between its knots; as Scale.place in brush.py.
  function between(knots, share) {
    const i = Math.max(1, knots.findIndex((knot) => knot[1] >= share)), [[below, start], [above, end]] = [knots[i - 1], knots[i]];
    return below + ((above - below) * (share - start)) / (end - start);
  }

  const element = (...parts) => window.React.createElement(...parts);
  const components = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  components.RunLink = (props) => {
    const run = props.data.run, number = state.paint.has(run) ? state.paint.get(run) : props.data.s;
    const drawn = typeof number === "number", many = props.colours.length;
    const colour = drawn ? props.colours[number % many] : "transparent";
    const dash = drawn ? props.dashes[Math.floor(number / many) % props.dashes.length] : "solid";
    return element("span", { className: "rs-cell" },
      element("span", { className: "rs-stroke", "data-dash": dash, style: { borderTopColor: colour } }),
      element("a", { href: "/run?" + new URLSearchParams([["run", props.value]]), title: props.value }, props.data.name));
  };
  components.RunState = (props) => element("span", { className: "rs-cell rs-" + (props.value || "unknown") },
    element("span", { className: "rs-dot", style: { background: props.colours[props.value] || props.colours.unknown } }), props.value || "unknown");

  const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  functions.numberSaid = (value) => {
    if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
    if (Number.isSafeInteger(value)) return String(value);
    const small = value !== 0 && Math.abs(value) < 1e-4;
    return small ? value.toExponential(3).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(6)));
  };
  functions.durationSaid = (value) => {
    if (typeof value !== "number") return "";
    if (value < 60) return value.toFixed(1) + " s";
    const hours = Math.floor(value / 3600), minutes = Math.floor((value % 3600) / 60), seconds = Math.floor(value % 60);
    return hours ? hours + " h " + minutes + " min" : minutes + " min " + seconds + " s";
  };
  functions.memorySaid = (value) => (typeof value === "number" ? (value / 2 ** 20).toFixed(0) + " MiB" : "");
  // Numbers by size, integers that JavaScript's numbers cannot hold as texts of digits; what is no number (nan,
  // nothing) comes last in both directions.
  const sized = (value) => (/^-?\d+$/.test(value) ? BigInt(value) : value);
  functions.compareCells = (one, other, _one, _other, descending) => {
    const [a, b] = [sized(one), sized(other)];
    const [first, second] = [a, b].map((value) => typeof value === "number" || typeof value === "bigint");
    if (first && second) return a < b ? -1 : a > b ? 1 : 0;
    return first === second ? 0 : (first ? -1 : 1) * (descending ? -1 : 1);
  };

  // The table's theme has no part in Mantine's colour scheme; it goes by an attribute of its own.
  const root = document.documentElement;
  const follow = () => {
    root.dataset.agThemeMode = root.getAttribute("data-mantine-color-scheme") === "dark" ? "dark" : "light";
  };
  new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
  follow();
})();
