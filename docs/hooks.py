"""Bring pages and pictures that live beside the code into the site, so that each has one source."""

import re
from collections import Counter
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SHOWN = (
    "cache/README.md",
    "examples/*.py",
    "examples/*.ipynb",
    "examples/Containerfile",
    "experiments/benchmarks/*.toml",
    "experiments/recipes/*.toml",
    "experiments/weights/README.md",
    "experiments/results/*.md",
    "experiments/results/*.csv",
    "experiments/results/*.png",
    "experiments/results/*/differences.md",
    "experiments/results/*/*.csv",
    "experiments/results/*/*.png",
    "graphs/README.md",
    "graphs/*.ipynb",
    "graphs/gallery/*.png",
)
# `graphs/README.md` would be the page `graphs/`, which is that of `docs/graphs.md`.
_RENAMED = {"graphs/README.md": "graphs/data.md"}
_OUTSIDE = re.compile(r"\]\((?:\.\./)+(cache|examples|experiments|graphs)/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of `SHOWN` under their paths in the repository."""
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, _RENAMED.get(uri, uri), abs_src_path=str(path)))
    pages = Counter(file.dest_uri for file in files)
    if twice := [uri for uri, count in pages.items() if count > 1]:
        raise PluginError(f"several files are the page {', '.join(twice)}")
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of `docs/`, which work on the repository's pages, into links within the site."""
    if page.file.src_uri.split("/")[0] in ("cache", "examples", "experiments", "graphs"):
        return markdown
    up = "../" * page.file.src_uri.count("/")
    markdown = _OUTSIDE.sub(rf"]({up}\1/", markdown)
    for uri, renamed in _RENAMED.items():
        markdown = markdown.replace(f"]({up}{uri}", f"]({up}{renamed}")
    return markdown
