#!/usr/bin/env bash
# Compares Reprise with llama.cpp and Ollama on this machine; --help tells the options. See README.md beside this file.
set -euo pipefail
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")

jar=$bench/target/benchmarks.jar
if [[ ! -f $jar ]]; then
  echo "$jar is missing: build it with ci/build" >&2
  exit 1
fi
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
home=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p')
commit=${REPRISE_COMMIT:-$(git -C "$root" describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)}
options=(-Djava.awt.headless=true -Dreprise.bench.commit="$commit" -Dreprise.bench.tool="$root/build/bin/reprise-bench")
if flag=$("$root/ci/native-access" "$home" ALL-UNNAMED) && [[ -n $flag ]]; then options+=("$flag"); fi
exec "$java" "${options[@]}" -cp "$jar" dev.reprise.bench.compare.Compare "$@"
