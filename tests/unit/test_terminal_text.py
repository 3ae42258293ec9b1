"""Text of others on its way to a terminal: what is shown, what is dropped, what stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.terminal_text import one_line, plain, visible

_DANGEROUS = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lr=0.1/run_0", "lr=0.1/run_0"),
        ("\x1b]0;OWNED\x07\x1b[2J", "␛]0;OWNED␇␛[2J"),
        ("a\rb\x7f\x00", "a␍b␡␀"),
        ("\x9b2J", "\ufffd2J"),
        ("user\u202egnp.exe", "user\ufffdgnp.exe"),
        ("torn \udcff name", "torn \ufffd name"),
        ("two\nlines\tof it", "two\nlines\tof it"),
        ("Zürich 東京 🙂 👩\u200d🔬 می\u200cخواهم", "Zürich 東京 🙂 👩\u200d🔬 می\u200cخواهم"),
    ],
)
def test_controls_are_shown_and_the_rest_stays(text, shown):
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_shown_controls_a_terminal(text):
    for result in (visible(text), one_line(text), plain(text), plain(text, carriage=True)):
        dangerous = {
            c for c in result if unicodedata.category(c) in _DANGEROUS or c in _TURNS
        } - set("\n\t\r")
        assert not dangerous
    assert len(visible(text)) == len(text)
    assert not set(one_line(text)) & set("\n\t\r")


@pytest.mark.parametrize(
    ("text", "without", "coloured"),
    [
        ("\x1b[31mred\x1b[0m end", "red end", "\x1b[31mred\x1b[0m end"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07 end", "link end", "link end"),
        ("10%\r20%\x1b[K\x1b[1A", "10%20%", "10%20%"),
        ("\x1bP+q544e\x1b\\dcs \x1b[6n\x9b6n.", "dcs .", "dcs ."),
        ("not closed \x1b]0;title\nnext line", "not closed \nnext line", "not closed \nnext line"),
        ("\x1b", "", ""),
    ],
)
def test_escape_sequences_of_a_console_go_whole(text, without, coloured):
    assert plain(text) == without
    assert plain(text, colours=True) == coloured
