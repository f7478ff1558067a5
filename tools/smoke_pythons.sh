#!/usr/bin/env bash
# Run suite smoke, and compare it with its reference, on each supported Python of this machine but that of the environment PY;
# with "newest", on the newest of them only.
# A Python whose packages cannot be installed is skipped with a line that says why; a run that fails or moves fails.
# usage: PY=.venv/bin/python TORCH=torch==X tools/smoke_pythons.sh [newest]
set -u
cd "$(dirname "$0")/.." && mkdir -p build || exit 1
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
# what is not imported is not compiled
pip() { timeout "${INSTALL_SECONDS:-900}" "$folder/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check "$@"; }
done_by=$(version_of "$PY")
others=$(for python in $(bash tools/find_python.sh --all); do
  version=$(version_of "$python")
  [ "$version" = "$done_by" ] || echo "$version $python"
done | sort -V)
[ "${1:-}" = newest ] && others=$(tail -n 1 <<<"$others")
status=0
while read -r version python <&3; do
  [ -n "$version" ] || continue
  folder=build/python$version
  if [ ! "$folder/.installed" -nt pyproject.toml ]; then
    echo "Python $version: creating $folder (some minutes, about 2 GB)"
    # the extras of models that the reference has; no tool of development
    if ! { "$python" -m venv --clear "$folder" && pip "$TORCH" ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} &&
      pip -e '.[ot,biolord]'; } >"build/python$version.log" 2>&1; then
      echo "Python $version: skipped, its packages cannot be installed: $(tail -n 1 "build/python$version.log")"
      continue
    fi
    touch "$folder/.installed"
  fi
  out=build/smoke-$version
  rm -rf "$out"
  # a cache of its own: this Python prepares the data itself
  if CYCSEQ_CACHE="$PWD/$out/cache" "$folder/bin/python" -m benchmarks.run --suite smoke --threads 1 --no-figures --out "$out" >"$out.log" 2>&1 &&
    "$folder/bin/python" -m benchmarks.regress "$(ls -d "$out"/smoke/*/ | tail -1)" tests/golden/smoke.csv.gz; then
    echo "Python $version: smoke is as its reference"
  else
    echo "Python $version: smoke failed, see $out.log"
    tail -n 20 "$out.log"
    status=1
  fi
done 3<<<"$others"
exit $status
