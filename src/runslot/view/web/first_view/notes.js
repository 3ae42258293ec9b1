// Tags and notes of a variant or a run, written where they are shown. Called by answer.js where the server takes them.
(function () {
  "use strict";
  const { el } = window.runslotChart;

  async function send(change) {
    const answer = await fetch("/annotate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change) });
    const body = await answer.json().catch(() => ({ message: `the server answered ${answer.status}` }));
    return answer.ok ? "" : body.message;
  }

  // `place`: { label } or { run }; `now`: the tags and notes that stand; `done(change)` after the server has taken it.
  function form(place, now, { done, cancel, query }) {
    const tags = el("input", { type: "text", class: "field", "data-focus": "edit tags", "aria-label": "Tags", placeholder: "tags, as paper baseline", value: (now.tags || []).join(" ") });
    const note = el("input", { type: "text", class: "field wide-field", "data-focus": "edit note", "aria-label": "Note", placeholder: "a note", maxlength: "2000", value: (now.note || []).join(" · ") });
    const fault = el("span", { class: "badge", role: "alert" });
    const before = note.value;
    const save = async (event) => {
      event.preventDefault();
      const words = tags.value.split(/[\s,]+/).filter(Boolean), change = { ...place, query, tags: [...new Set(words)] };
      if (note.value !== before) change.note = note.value.trim();
      let message;
      try { message = await send(change); } catch (error) { message = "the server does not answer"; }
      if (message) { fault.textContent = message; return; }
      done({ tags: change.tags, note: "note" in change ? [change.note].filter(Boolean) : now.note });
    };
    const node = el("form", { class: "edit", onsubmit: save, onkeydown: (event) => { if (event.key === "Escape") cancel(); } }, tags, note, el("button", { class: "plain", type: "submit" }, "Save"),
      el("button", { class: "plain", type: "button", onclick: cancel }, "Cancel"), fault);
    node.start = () => tags.focus();
    return node;
  }

  window.runslotNotes = { form };
})();
