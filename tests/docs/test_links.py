"""Every cited page exists, and every link between pages leads somewhere.

Code and pages cite pages by their path in the repository, such as ``docs/changes.md``, with or
without titles of sections: ``docs/changes.md, "What drains"``. A dead citation fails at the place
where a reader needs the proof.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOT_OURS = {"build", "node_modules", "site"}

CITATION = re.compile(
    r"(?<![\w/.:-])(?P<path>docs/[\w./-]+\.md)(?P<titles>(?:,? (?:and )?\"[^\"\n]{3,80}\")*)"
)
TITLE = re.compile(r"\"([^\"]+)\"")
TEST_MARK = re.compile(r"`(tests/[\w./-]+)`")
LINK = re.compile(r"(?<!!)\[(?:[^][]|\[[^]]*\])*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")
IMAGE = re.compile(r"!\[[^]]*\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def files(*suffixes: str) -> Iterator[Path]:
    """Yield the repository's own files with one of these suffixes, without what tools generate."""
    for folder, folders, names in os.walk(ROOT):
        hidden = {
            name for name in folders if name.startswith(".") and name not in {".github", ".ci"}
        }
        folders[:] = sorted({*folders} - hidden - NOT_OURS)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(suffixes))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """A page without what is in fences and code spans, line by line as before."""
    text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return re.sub(
        r"(`+)(?!`)(.+?)(?<!`)\1(?!`)",
        lambda found: "\n" * found[0].count("\n"),
        text,
        flags=re.DOTALL,
    )


def plain(heading: str) -> str:
    """A heading as it is read: without the marks of code, emphasis and links."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")


@cache
def titles(page: Path) -> tuple[str, ...]:
    return tuple(
        plain(found) for found in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    )


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings."""
    found: Counter[str] = Counter()
    result = set()
    for title in titles(page):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        result.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    explicit = re.findall(r"<a (?:id|name)=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    return frozenset({*result, *explicit})


@cache
def every_line(page: Path) -> str:
    """Return a file's text on one line without comment marks: a citation may span two lines."""
    return re.sub(r"\n[ \t]*(?:#:?[ \t]*)?", " ", page.read_text(encoding="utf-8"))


def test_every_cited_page_exists_and_has_the_cited_sections() -> None:
    wrong = []
    for file in files(".py", ".md", ".toml", ".sh", ".yaml", ".yml"):
        for found in CITATION.finditer(every_line(file)):
            page = ROOT / found["path"]
            if not page.is_file():
                wrong.append(f"{name(file)}: there is no {found['path']}")
                continue
            missing = {*TITLE.findall(found["titles"])} - {*titles(page)}
            wrong += [
                f"{name(file)}: {found['path']} has no section {title!r}"
                for title in sorted(missing)
            ]
    assert not wrong, "\n".join(wrong)


def test_every_test_that_a_fact_rests_on_exists() -> None:
    pages = sorted((ROOT / "docs" / "internals").rglob("*.md"))
    cited = {
        (page, path)
        for page in pages
        for path in TEST_MARK.findall(page.read_text(encoding="utf-8"))
    }
    assert len(cited) > 50
    assert [
        f"{name(page)}: there is no {path}"
        for page, path in sorted(cited)
        if not (ROOT / path).exists()
    ] == []


@pytest.mark.parametrize("page", list(files(".md")), ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    wrong = []
    for found in (*LINK.finditer(text), *IMAGE.finditer(text)):
        target = found["target"].strip("<>")
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere: a test that needs the network tells of the network
        path, _, anchor = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        line = text.count("\n", 0, found.start()) + 1
        if not where.is_relative_to(ROOT) or not where.exists():
            wrong.append(f"{name(page)}:{line}: there is no {target}")
        elif page.is_relative_to(DOCS) and not where.is_relative_to(DOCS):
            wrong.append(f"{name(page)}:{line}: {target} is not on the site; name its path instead")
        elif anchor and where.suffix == ".md" and anchor not in anchors(where):
            wrong.append(
                f"{name(page)}:{line}: no heading of {name(where)} has the anchor #{anchor}"
            )
    assert not wrong, "\n".join(wrong)


def test_a_link_that_leads_nowhere_would_be_found(tmp_path: Path) -> None:
    text = (
        "# A `b` (c)\n\n```sh\n[no](link.md)\n```\n`[no](link.md)` "
        "[one](a.md) and [two\nlines](b.md#c-d)\n## A `b` (c)\n"
    )
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    assert [found["target"] for found in LINK.finditer(without_code(text))] == ["a.md", "b.md#c-d"]
    assert anchors(tmp_path / "page.md") == {"a-b-c", "a-b-c-1"}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """`make docs` says so too, but few run it."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"([\w./-]+\.md)$", nav, re.MULTILINE)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert len(listed) == len({*listed})
    assert {*listed} == pages
