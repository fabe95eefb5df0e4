"""Markup from calls: nothing that is not markup gets through as such."""

from __future__ import annotations

import html.parser

from hypothesis import given
from hypothesis import strategies as st

from optfl_cli.demo.markup import Markup, join, tag


def test_elements() -> None:
    assert tag("p", "a < b", tag("b", "c"), class_="x") == '<p class="x">a &lt; b<b>c</b></p>'
    assert tag("meta", name="viewport", http_equiv="y") == '<meta name="viewport" http-equiv="y">'
    assert tag("line", x1=1, x2=2.0, y1=0.26, class_=None) == '<line x1="1" x2="2" y1="0.3"/>'
    assert join(["&", Markup("<br>")]) == "&amp;<br>"


@given(st.text(), st.text())
def test_text_and_attributes_come_back_as_they_were(text: str, value: str) -> None:
    text, value = (s.replace("\r", "").replace("\0", "") for s in (text, value))  # no parser gives those back
    seen: list[object] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, attrs))

        def handle_data(self, data: str) -> None:
            seen.append(data)

    parser = Parser()
    parser.feed(tag("p", text, title=value))
    parser.close()
    assert seen[0] == ("p", [("title", value)])
    assert "".join(str(part) for part in seen[1:]) == text
