#!/usr/bin/env python3
"""Checks that the documentation tells the truth where a machine can judge it.

    check.py --penstock build/release/penstock [--root DIR]

Every ```toml block of README.md passes `penstock check --strict`; every relative link of the pages
leads to a file, and every `#section` to a heading; every command of `penstock --help` has its
heading in docs/command-line.md, and no other; every example with an admin listener keeps the unix
socket of the commands; every close reason of base/close_reason.cpp has its
row, with its class, in docs/access-log.md, and no other.
"""

import argparse
import pathlib
import re
import subprocess
import sys

PAGES = ("*.md", "docs/*.md", "deploy/**/*.md")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchor(heading):
    """The name that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def check_examples(root, penstock):
    text = (root / "README.md").read_text()
    examples = [body for language, body in FENCE.findall(text) if language == "toml"]
    if not examples:
        yield "README.md: has no ```toml example"
    for number, body in enumerate(examples, 1):
        run = subprocess.run([penstock, "check", "--strict", "-c", "-"], input=body, text=True,
                             capture_output=True, timeout=30)
        if run.returncode != 0:
            yield f"README.md: example {number} is refused:\n{run.stdout}{run.stderr}"


def pages(root):
    return sorted(path for pattern in PAGES for path in root.glob(pattern))


def check_admin_listeners(root):
    for page in pages(root):
        for language, body in FENCE.findall(page.read_text()):
            if language == "toml" and "[[admin.listener]]" in body and '"unix:' not in body:
                yield (f"{page.relative_to(root)}: an example takes the commands' socket away: begin with "
                       '[[admin.listener]] bind = "unix:$RUNTIME/admin.sock"')


def check_links(root):
    for page in pages(root):
        text = FENCE.sub("", page.read_text())
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, section = target.partition("#")
            file = page.parent / name if name else page
            where = f"{page.relative_to(root)}: link to {target}"
            if not file.exists():
                yield f"{where}: there is no such file"
            elif section and section not in map(anchor, HEADING.findall(file.read_text())):
                yield f"{where}: there is no such heading"


def check_commands(root, penstock):
    help_text = subprocess.run([penstock, "--help"], text=True, capture_output=True, timeout=30,
                               check=True).stdout
    listed = re.findall(r"^  ([a-z]+) ", help_text.partition("Subcommands:")[2], re.MULTILINE)
    page = (root / "docs/command-line.md").read_text()
    documented = re.findall(r"^## `penstock ([a-z]+)`", page, re.MULTILINE)
    if not listed:
        yield "penstock --help lists no command"
    for command in sorted(set(listed) ^ set(documented)):
        yield f"docs/command-line.md: `penstock {command}` is " + (
            "missing" if command in listed else "no command")


def check_reasons(root):
    source = (root / "base/close_reason.cpp").read_text()
    rows = re.findall(r'\{CloseReason::(?!none)\w+, "(\w+)", (\w+),', source)
    known = {(name, "operator" if in_class == "op" else in_class) for name, in_class in rows}
    page = (root / "docs/access-log.md").read_text()
    table = page.partition("\n## Reasons\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    if not known:
        yield "base/close_reason.cpp: no reason found"
    for name, in_class in sorted(known ^ documented):
        yield f"docs/access-log.md: reason {name} of class {in_class} is " + (
            "missing" if (name, in_class) in known else "none")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--penstock", required=True)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    arguments = parser.parse_args()
    problems = [*check_examples(arguments.root, arguments.penstock), *check_links(arguments.root),
                *check_commands(arguments.root, arguments.penstock),
                *check_reasons(arguments.root), *check_admin_listeners(arguments.root)]
    print("\n".join(problems) if problems else "docs: examples, links, commands, reasons are true")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
