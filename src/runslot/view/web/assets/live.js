// Growth of figures, and whether the server still answers. Loaded before view.js, which has the other callbacks.
(function () {
  "use strict";
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const none = () => window.dash_clientside.no_update;

  // What is shown is not what the server thinks: all of it is sent again.
  function again() {
    if (document.getElementById("panels")) {
      set("seen", { data: null });
      set("redraw", { data: Date.now() });
    } else if (document.getElementById("run-panels")) {
      set("run-seen", { data: 0 });
    }
  }

  const markOf = (figure) => (((figure || {}).layout || {}).meta || {}).mark;

  // The same verbs as `growth` in figures.py, carried out on a copy.
  function changed(figure, changes) {
    const data = figure.data.slice(), copied = new Set();
    for (const [verb, where, value] of changes) {
      const at = where[1];
      if (where.length === 2) { data[at] = value; copied.add(at); continue; }
      if (!copied.has(at)) { data[at] = Object.assign({}, data[at]); copied.add(at); }
      const trace = data[at], key = where[2];
      if (where.length === 3 && verb === "set") { trace[key] = value; continue; }
      trace[key] = Array.from(trace[key]);
      if (verb === "set") trace[key][where[3]] = value;
      else if (verb === "cut") value.forEach((i) => trace[key].splice(i, 1));
      else trace[key].push(...value);
    }
    return data;
  }

  // A change is for figures of one moment: for others it is refused, and where the page itself is of that moment
  // but a figure is not, all is drawn again.
  function grow(grown, figures, ids, seen) {
    if (!grown) return none();
    if ((seen && seen.mark !== undefined ? seen.mark : seen) !== grown.from) return none();
    if (figures.length !== grown.figures.length || figures.some((figure) => markOf(figure) !== grown.from)) {
      again();
      return none();
    }
    grown.figures.forEach((change, i) => {
      const whole = change.figure || figures[i];
      const data = change.figure ? whole.data : changed(figures[i], change.changes);
      const meta = Object.assign({}, whole.layout.meta, { mark: grown.to });
      set(ids[i], { figure: { data, layout: Object.assign({}, whole.layout, { meta }) } });
    });
    if (!grown.seen) { set("run-seen", { data: grown.to }); return none(); }
    if (grown.table && document.getElementById("runs")) set("runs", { rowTransaction: grown.table });
    set("notes", { children: grown.notes });
    set("counted", { children: grown.counted });
    set("status", { children: grown.status });
    set("seen", { data: grown.seen });
    return none();
  }

  // How the table stands is a choice like others: sorted columns, pinned ones, ticked runs.
  function watchTable() {
    window.dash_ag_grid.getApiAsync("runs").then((api) => {
      const choose = (name, value) => set({ type: "choice", name }, { value });
      const place = (column) => (column.sortIndex === null || column.sortIndex === undefined ? 0 : column.sortIndex);
      api.addEventListener("sortChanged", () => choose("sort", api.getColumnState().filter((column) => column.sort)
        .sort((a, b) => place(a) - place(b)).map((column) => column.colId + (column.sort === "desc" ? " desc" : ""))));
      api.addEventListener("columnPinned", () => choose("pin", api.getColumnState()
        .filter((column) => column.pinned === "left" && column.colId !== "run" && !column.colId.startsWith("ag-Grid"))
        .map((column) => column.colId)));
      api.addEventListener("selectionChanged", () => choose("tick", api.getSelectedNodes().map((node) => node.data.run).sort()));
    });
  }

  // The library of the table comes when somebody opens it.
  let grid = null;
  function openTable() {
    grid = grid || new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = document.querySelector('meta[name="runslot-grid"]').content;
      script.onload = done;
      script.onerror = fail;
      document.head.append(script);
    });
    grid.then(() => { set("table-open", { data: true }); watchTable(); }, () => { grid = null; });
  }
  document.addEventListener("click", (event) => { if (event.target.id === "open-table") openTable(); });

  // What the page shows, as it was told last; asked for again when the server has something else.
  let seen = null;
  function note(stamp) {
    seen = stamp && stamp.version !== undefined ? stamp.version : stamp;
    return none();
  }

  const SOON_MS = 1000, REST_MS = 15000, LONGEST_MS = 120000;
  let wait = SOON_MS, timer = null;
  async function ask() {
    const panels = document.getElementById("panels"), place = panels || document.getElementById("run-panels");
    if (!place || document.hidden || place.dataset.busy === "true") return;
    const path = new URLSearchParams(window.location.search).get("path");
    const answer = await fetch("/version" + (path ? "?" + new URLSearchParams([["path", path]]) : ""), { cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (!answer.ok) return;
    const now = await answer.json();
    if (now.version !== seen) {
      wait = SOON_MS;
      set(panels ? "tick" : "run-tick", { data: Date.now() });
    } else wait = Math.max(now.is_live ? SOON_MS : Math.min(REST_MS, wait * 1.5), Math.min(now.is_live ? 5000 : LONGEST_MS, 1000 * now.rest_s));
  }
  // A server that is gone is told by `look`; here it is asked again later.
  const soonAgain = () => { window.clearTimeout(timer); timer = window.setTimeout(() => ask().catch(() => {}).finally(soonAgain), wait); };
  soonAgain();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { wait = SOON_MS; soonAgain(); } });

  window.runslotLive = { again, grow, note, openTable, wasOpen: () => grid !== null };

  const EVERY = 5000, PATIENCE = 15000;
  const GONE = "The server does not answer; this page shows what it sent last, and goes on when it is back.";
  const OTHER = "The server was started anew and asks for its token: open the address that it printed.";
  const alive = { server: null, said: "" };

  function say(text) {
    if (alive.said === text) return;
    alive.said = text;
    let box = document.getElementById("gone");
    if (!box) {
      box = document.createElement("div");
      box.id = "gone";
      box.className = "rs-gone";
      box.setAttribute("role", "alert");
      document.body.append(box);
    }
    box.textContent = text;
    box.hidden = !text;
  }

  async function look() {
    try {
      const answer = await fetch("/alive", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.status === 401) { say(OTHER); return; }
      const server = await answer.text(), back = alive.said !== "" || (alive.server !== null && alive.server !== server);
      if (!answer.ok) { say(GONE); return; }
      alive.server = server;
      say("");
      if (!back) return;
      // Requests that failed have not switched on again what they had switched off.
      const place = document.getElementById("panels") || document.getElementById("run-panels");
      if (place) set(place.id, { "data-busy": "false" });
      wait = SOON_MS;
      soonAgain();
      if (document.getElementById("panels")) set("drawing", { data: false });
      again();
    } catch (error) {
      say(GONE);
    }
  }
  const soon = () => window.setTimeout(() => look().finally(soon), EVERY);
  soon();
})();
