#!/usr/bin/env python3
"""Checks that the documents speak of files that exist.

    doc_check.py [ROOT]       prints every dead reference as FILE:LINE: WHAT; exit 1 when there is one
    doc_check.py --self-test  plants dead references in a temporary tree and checks that each is found

In every *.md: relative links and pictures lead to files, their #anchors to headings; and a word of a command in a
code block that names a path below a top folder of the project names a file that is there. Paths that a command makes
(build/, anything with a variable or a placeholder) are not looked at.
"""

import os
import pathlib
import re
import sys
import tempfile
import urllib.parse

from check_main import report_self_test, run_check

SKIPPED_FOLDERS = {".git", ".deps", "build", "out", "node_modules", "__pycache__"}
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s>]+(?:\([^()]*\))?)>?(?:\s+\"[^\"]*\")?\s*\)")
HTML_LINK = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([\w+-]*)")
SHELL = {"sh", "bash", "shell", "console"}
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
CODE_SPAN = re.compile(r"`[^`]*`")


def documents(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(files):
            if name.endswith(".md"):
                yield pathlib.Path(folder, name)


def blocks(text):
    """(line number, line, language of the code block that it stands in or None) for every line but the fences."""
    fence = language = None
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if match and fence is None:
            fence, language = match.group(1), match.group(2).lower()
        elif match and match.group(1)[0] == fence[0] and len(match.group(1)) >= len(fence) and not match.group(2):
            fence = language = None
        else:
            yield number, line, language if fence else None


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    found = set()
    for _, line, language in blocks(text):
        match = HEADING.match(line) if language is None else None
        if match:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1)).replace("`", "").lower()
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            number = 0
            while (anchor if number == 0 else f"{anchor}-{number}") in found:
                number += 1
            found.add(anchor if number == 0 else f"{anchor}-{number}")
        for name in re.findall(r"<a\b[^>]*\b(?:id|name)=\"([^\"]+)\"", line):
            found.add(name)
    return found


def check_links(root, document, text):
    for number, line, language in blocks(text):
        if language is not None:
            continue
        line = CODE_SPAN.sub("", line)
        for target in LINK.findall(line) + HTML_LINK.findall(line):
            if re.match(r"^[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            file = document if not path else (document.parent / path).resolve()
            if not file.exists():
                yield number, f"link to {target}: there is no such file"
            elif not file.is_relative_to(root):
                yield number, f"link to {target}: leads out of the project"
            elif anchor and file.suffix == ".md":
                if anchor not in anchors(file.read_text(encoding="utf-8")):
                    yield number, f"link to {target}: there is no such heading"


def check_commands(root, text, top_folders):
    for number, line, language in blocks(text):
        if language not in SHELL:
            continue
        if language == "console":
            # Only lines with a prompt are commands; the rest is what they print.
            if not line.lstrip().startswith("$ "):
                continue
        for word in re.split(r"[\s;|&()'\"=,]+", line.split(" #")[0]):
            word = word.removeprefix("./").rstrip(":")
            if "/" not in word or re.search(r"[$<>{}\\]|\.\.\.|://", word):
                continue
            if word.split("/")[0] not in top_folders:
                continue
            exists = any(root.glob(word)) if re.search(r"[*?\[]", word) else (root / word).exists()
            if not exists:
                yield number, f"command names {word}: there is no such file"


def findings(root):
    root = pathlib.Path(root).resolve()
    top_folders = {p.name for p in root.iterdir() if p.is_dir() and p.name not in SKIPPED_FOLDERS}
    result = []
    for document in documents(root):
        text = document.read_text(encoding="utf-8")
        name = document.relative_to(root).as_posix()
        for number, what in [*check_links(root, document, text), *check_commands(root, text, top_folders)]:
            result.append(f"{name}:{number}: {what}")
    return result


# ---------------------------------------------------------------- the check of the check

CLEAN = """# A title, with `code`

See [the model](model/README.md), [a chapter](#a-title-with-code), [its part](model/README.md#part-2) and
[elsewhere](https://example.com/x). ![picture](model/a%20b.png) `[not a](link.md)`

```sh
model/run.sh --out out/x --data ../shared/y "$HOME/model/z"   # comment model/none
FOO=model/run.sh ls model/*.sh build/release/x
```

```console
$ model/run.sh
model/prints/this
```

```cpp
#include "model/none.h"  // [x](y)
```
"""

PLANTED = [
    ("[x](gone.md)", 1, "link to gone.md: there is no such file"),
    ("text\n\n![x](model/gone.png)", 3, "link to model/gone.png: there is no such file"),
    ('<img src="gone.png">', 1, "link to gone.png: there is no such file"),
    ("[x](model/README.md#part-3)", 1, "no such heading"),
    ("[x](#nowhere)", 1, "no such heading"),
    ("[x](../outside.md)", 1, "leads out of the project"),
    ("```sh\n./model/gone.sh --x\n```", 2, "command names model/gone.sh"),
    ("```bash\nA=1 bash model/gone.sh\n```", 2, "command names model/gone.sh"),
    ("```console\n$ model/gone*.sh\nmodel/none\n```", 2, "command names model/gone*.sh"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        outside = pathlib.Path(folder, "outside.md")
        outside.write_text("", encoding="utf-8")
        root = pathlib.Path(folder, "project")
        (root / "model").mkdir(parents=True)
        (root / "model/README.md").write_text("# Model\n## Part 2\n", encoding="utf-8")
        (root / "model/run.sh").write_text("", encoding="utf-8")
        (root / "model/a b.png").write_text("", encoding="utf-8")
        readme = root / "README.md"
        readme.write_text(CLEAN, encoding="utf-8")
        failures += [f"found in the clean tree: {finding}" for finding in findings(root)]
        for text, line, words in PLANTED:
            readme.write_text(text, encoding="utf-8")
            found = findings(root)
            if len(found) != 1 or not found[0].startswith(f"README.md:{line}: ") or words not in found[0]:
                failures.append(f"not found alone: {text!r}, line {line}, {words!r}; found {found}")
    return report_self_test(failures, len(PLANTED), "document check")


if __name__ == "__main__":
    sys.exit(run_check(sys.argv[1:], findings, self_test, "documents: {} dead references", "documents: no dead reference"))
