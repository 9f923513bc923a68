#!/bin/bash
# The layer lint must refuse: each line below is a file and an include that is not allowed.
set -euo pipefail
lint=$(dirname "$(realpath "$0")")/layers.py
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
git init -q .
mkdir -p proto/base proto/link ext target/core target/io controller/core controller/cli elsewhere
touch proto/xml.h proto/base/buf.h ext/ping.h ext/run.h target/core/runq.h controller/core/fleet.h controller/store.h
printf '#include "proto/xml.h"\n' >proto/ext.h

try() {
        printf '#include "proto/base/buf.h"\n#include %s\n' "$2" >"$1"
        if "$lint" . >out; then
                echo "accepted: $1 includes $2"
                exit 1
        fi
        grep -q "^$1:" out || { echo "refused for another reason:"; cat out; exit 1; }
        rm "$1"
}
printf '#include "proto/base/buf.h"\n#include <strophe.h>\n' >proto/xml.c
"$lint" . >out || { cat out; exit 1; }

try proto/base/buf.c '"proto/xml.h"'
try proto/ext.c '"ext/ping.h"'
try proto/jid.c '<strophe.h>'
try proto/strophe.c '<strophe.h>'
try ext/ping.c '"ext/run.h"'
try ext/ping.c '"target/core/runq.h"'
try target/target.c '"controller/core/fleet.h"'
try target/core/runq.c '"proto/ext.h"'
try target/core/runq.c '<fcntl.h>'
try target/io/file.c '"ext/run.h"'
try controller/main.c '<sqlite3.h>'
try controller/cli/ls.c '"controller/store.h"'
try controller/cli/ls.c '"controller/core/fleet.h"'
try elsewhere/a.c '<stdio.h>'
try proto/plan.c '"plan.h"'
