"""Hostile texts: what a terminal, a browser, a spreadsheet, Markdown, a shell or a file system would take for more."""

from __future__ import annotations

from tests.cli.test_terminal import FOREIGN
from tests.leaderboard.test_publish import FORMULAS

MARKER = "evil.example"
"""In every text that leads elsewhere: no attribute of a page may have it."""

PAGES = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "-->",
    "]]><svg onload=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    f"<a href='https://{MARKER}'>x</a>",
    f'<iframe src="//{MARKER}"></iframe>',
    f"<link rel=stylesheet href=//{MARKER}/x.css>",
    f"<base href=//{MARKER}/>",
    "<style>*{display:none}</style>",
    "</title><h1>all is well</h1>",
    "</td></tr></table><h1>rank 1</h1>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "{{ 7*7 }}{% raw %}",
    "{{ ''.__class__.__mro__ }}",
    "%{customdata}<extra>x</extra>",
    "${alert(1)}`",
    "<b>bold</b><br>",
]

MARKDOWN = [
    f"[x](https://{MARKER})",
    f"![x](https://{MARKER}/x.png)",
    f"<https://{MARKER}>",
    f"[x]: https://{MARKER}",
    "a | b | c",
    "| 1 | wcc | 100.00 |",
    "x \\| y",
    "\\",
    "`code",
    "``` x",
    "**bold** __bold__",
    "# title",
    "\n\n# title\n\n",
    "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "- item\n- item",
    "\n    indented",
    "---\n",
    "~~gone~~",
    "1. first",
    "> said",
    "<details><summary>x</summary>",
]

PATHS = [
    "../../outside",
    "/etc/passwd",
    "..",
    ".",
    "~/x",
    "a/b",
    "a\\b",
    "C:\\x",
    "%2e%2e%2f",
    "CON",
    ".hidden",
    "-rf",
    "--out",
    "x" * 300,
    "é" * 200,
    "records",
    "index.html",
    "$(touch x)",
    "; touch x",
    "`touch x`",
    "' ; touch x '",
    "\N{ZERO WIDTH SPACE}",
]

HOSTILE = list(dict.fromkeys([*PAGES, *MARKDOWN, *PATHS, *FORMULAS, *FOREIGN]))
