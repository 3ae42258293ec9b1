"""What came out, to look at: the page in a browser (`runslot view`) and figures for papers
(`runslot plot`).

Dash and matplotlib are imported here alone; they come with `pip install '.[view]'`, matplotlib
alone with `.[plot]`.
"""
