"""What the documents name exists: tests, files and headings."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.name != "CHANGELOG.md")
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]+)?\)")
_HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def anchor(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


THREATS = _TEST.findall((ROOT / "docs/threat-model.md").read_text())


@pytest.mark.parametrize(("file", "test"), sorted(set(THREATS)))
def test_the_tests_of_the_threat_model_exist(file: str, test: str):
    assert (ROOT / file).exists()
    assert test in names_in(ROOT / file)


def test_every_threat_has_a_test():
    rows = [
        line
        for line in (ROOT / "docs/threat-model.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(rows) > 25
    assert [row for row in rows if not _TEST.search(row)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target, fragment in _LINK.findall(page.read_text()):
        path = (page.parent / target).resolve()
        assert path.exists(), f"{target} is not there"
        if fragment and path.suffix == ".md":
            assert fragment in {anchor(heading) for heading in _HEADING.findall(path.read_text())}, target + fragment
