#!/usr/bin/env python3
"""Who may include whom. The tables are the rule; the code below only reads #include lines.

A folder not in LAYERS is an error: new code says where it belongs.
"""
import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

# folder: which folders' headers it may include, beside its own. A folder means exactly that folder.
PROTO = ["proto", "proto/base"]
LAYERS = {
    "proto/base":        [],
    "proto":             ["proto/base"],
    "proto/link":        PROTO,
    "ext":               PROTO,                     # and only its own header: see ROOMS_APART
    "target/core":       PROTO,
    "target/io":         PROTO + ["target/core", "target/step"],
    "target/step":       PROTO,
    "target":            PROTO + ["proto/link", "ext", "target/core", "target/io", "target/step"],
    "controller/core":   PROTO,
    "controller/io":      PROTO + ["controller", "controller/core"],   # only the interface
    "controller/results": PROTO,
    "controller/cli":     PROTO + ["controller", "controller/results"],   # only the interface
    "controller":        PROTO + ["proto/link", "ext", "controller/core", "controller/io"],
    "deploy/lab":        ["proto/base"],
}

# A core sees neither XML nor JSON nor connections: none of these, not even through another header.
PURE = ["target/core", "controller/core"]
UNSEEN_BY_PURE = ["proto/xml.h", "proto/fields.h", "proto/ext.h"]

# header: who may include it: folders end with "/", the rest are files
OWNERS = {
    r"strophe\.h":            ["proto/xml.c", "proto/fields.c", "proto/link/"],
    r"expat\.h":              ["proto/xml.c", "controller/results/junit.c"],   # a document of any size, as it comes
    r"(json-c/)?json.*\.h":   ["proto/json.c"],
    r"zstd.*\.h":             ["proto/codec.c"],
    r"openssl/.*":            ["proto/digest.c", "proto/link/tls.c"],
    r"sqlite3\.h":            ["controller/io/store*.c"],
    r"systemd/.*":            ["proto/link/", "target/io/", "target/", "controller/io/",
                               "controller/cli/", "controller/"],
    # descriptors and processes stay out of the pure layers
    r"(poll|unistd|fcntl|sys/(socket|epoll|stat|wait|timerfd|signalfd))\.h":
                              ["proto/base/", "proto/json.c", "proto/catalogue.c", "proto/digest.c",
                               "proto/link/", "target/io/", "target/step/", "target/",
                               "controller/io/", "controller/cli/", "controller/", "deploy/lab/"],
}

ROOMS_APART = "ext"
INTERFACE_ONLY = {"controller/cli": "controller/api.h", "controller/io": "controller/api.h"}
# Tests may include what they test and what stands beside them.
FREE = ["tests"]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def may(path, owners):
    return any(str(path.parent) + "/" == o or fnmatch.fnmatch(str(path), o) for o in owners)


def includes(path):
    text = Path(path).read_text(errors="replace")
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m.group(1) == "<", m.group(2)


def seen(header, done):
    """Every header of ours that @header brings along."""
    todo = [header]
    while todo:
        h = todo.pop()
        if h not in done and Path(h).exists():
            done.add(h)
            todo += [name for _, system, name in includes(h) if not system]
    return done


def check(path, complain):
    path = Path(path)
    folder = str(path.parent)
    if folder.split("/")[0] in FREE:
        return
    if folder not in LAYERS:
        return complain(path, 1, f"folder {folder} is not in the table of tests/lint/layers.py")
    for line, system, name in includes(path):
        if system:
            for pattern, owners in OWNERS.items():
                if re.fullmatch(pattern, name) and not may(path, owners):
                    complain(path, line, f"<{name}> belongs to {', '.join(owners)}")
            continue
        other = str(Path(name).parent)
        if not Path(name).exists():
            complain(path, line, f'"{name}" is not a path from the top of the tree')
        elif other != folder and other not in LAYERS[folder]:
            complain(path, line, f"{folder} may not include {other} (\"{name}\")")
        elif folder == other == ROOMS_APART and Path(name).stem != path.stem:
            complain(path, line, f'rooms do not meet: "{name}"')
        elif other == "controller" and name != INTERFACE_ONLY.get(folder, name):
            complain(path, line, f'{folder} knows only {INTERFACE_ONLY[folder]}, not "{name}"')
        if folder in PURE:
            for hidden in sorted(seen(name, set()) & set(UNSEEN_BY_PURE)):
                complain(path, line, f'"{name}" shows {hidden} to a pure layer')


def main(root):
    found = []
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=root,
                           check=True, capture_output=True, text=True).stdout.split()
    os.chdir(root)
    files = [f for f in files if Path(f).exists()]
    for f in files:
        check(f, lambda path, line, text: found.append(f"{path}:{line}: {text}"))
    print("\n".join(found) or f"layers: {len(files)} files, every include is allowed")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
