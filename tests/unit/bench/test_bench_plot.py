"""Plots are documents that any browser draws."""

import xml.etree.ElementTree as ET

import pytest

from bench.plot import Drawing, Line, svg

SVG = "{http://www.w3.org/2000/svg}"


def read(drawing: Drawing) -> ET.Element:
    return ET.fromstring(svg(drawing))  # noqa: S314 - we have just made it


def circles(drawing: Drawing) -> list[tuple[float, float]]:
    found = read(drawing).iter(f"{SVG}circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in found]


def test_more_is_higher_and_later_is_further_right():
    (left, low), (right, high) = circles(Drawing("t", "x", "y", [Line("a", [(1, 10), (2, 30)])]))
    assert left < right
    assert low > high  # the upright axis of SVG points down


def test_powers_of_ten_are_equally_far_apart():
    at = [x for x, _ in circles(Drawing("t", "x", "y", [Line("a", [(10, 1), (100, 1), (1000, 1)])], log=True))]
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.2)


def test_every_point_is_inside_the_picture():
    drawing = Drawing("t", "x", "y", [Line("a", [(0, 0), (5, 99.9)]), Line("b", [(5, 1e-6)])])
    assert all(0 <= x <= 640 and 0 <= y <= 320 for x, y in circles(drawing))


def test_names_are_escaped():
    drawing = Drawing("a < b & c", "x", "y", [Line("<p99>", [(1, 1)])])
    assert "a &lt; b &amp; c" in svg(drawing)
    title = read(drawing).find(f"{SVG}title")
    assert title is not None
    assert title.text == "a < b & c"
