#!/usr/bin/env python3
"""Names that say nothing, words that mark something unfinished, and waiting by the clock in tests."""
import re
import subprocess
import sys
from pathlib import Path

NAMES = re.compile(r"(^|[/_.-])(utils?|common|helpers?|managers?|handlers?|misc)([_.-][^/]*)?$", re.I)

# (files, what may not stand in them, why)
WORDS = [
    (r".*", r"(?<!\")\b(TODO|FIXME|XX" r"X)\b(?!\")", "finish it or write an issue"),
    (r".*", r"\b(place" r"holder|not impl" r"emented|for n" r"ow)\b", "marks something unfinished"),
    (r"tests/.*\.py", r"^[^\"'\n]*\btime\.sleep\(", "wait for an event with a deadline: lab.wait_for()"),
    (r"tests/.*\.c", r"\b(u|nano)?sleep\(", "wait for an event with a deadline"),
    (r"(tests|deploy)/.*", r"^\s*sleep [0-9]", "wait for an event with a deadline"),
    (r"(?!tests/).*\.[ch]", r"\b(strcpy|strcat|sprintf|gets|strtok|alloca|system|popen)\(", "unbounded or a shell"),
    (r".*\.[ch]", r"^typedef (struct|enum|union)\b", "struct noun, no typedef (STYLE)"),
]
# the lint names what it forbids; a license and machine-read lists are not prose
EXCEPT = {"tests/lint/words.py", "LICENSE"}
# file: words it may use, because they are its subject
ALLOWED = {f: {"TO" "DO"} for f in (  # a directive of TAP
    "tests/unit/test_results.c", "tests/system/test_results.py", "tests/fuzz/corpus/tap/subtests")}


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], check=True,
                           capture_output=True, text=True).stdout.split("\n")
    files = [f for f in files if f and f not in EXCEPT and Path(f).is_file()]
    found = []
    for f in files:
        if NAMES.search(Path(f).stem) or NAMES.search(f):
            found.append(f"{f}: this name says nothing about what is inside")
        try:
            text = Path(f).read_text()
        except UnicodeDecodeError:
            continue
        for pattern, word, why in WORDS:
            if not re.fullmatch(pattern, f):
                continue
            for m in re.finditer(word, text, re.M):
                if m.group(0) not in ALLOWED.get(f, ()):
                    line = text.count("\n", 0, m.start()) + 1
                    found.append(f"{f}:{line}: '{m.group(0).strip()}': {why}")
    print("\n".join(found) or f"words: {len(files)} files")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
