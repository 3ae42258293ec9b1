"""The figures of the page: what `runslot.view.data` holds, as plain dicts that Plotly draws in the
browser."""
