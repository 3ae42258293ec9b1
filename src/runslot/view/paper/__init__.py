"""Figures for papers: what `runslot.view.data` holds, drawn by matplotlib (`runslot plot`, the
export of the page)."""
