#!/usr/bin/env bash
# Print a Python that the dependencies resolve on: 3.11, 3.12 or 3.13, with venv. PYTHON=... is taken as given.
# With --all: one of each of these versions that the machine has.
set -u
found=()
try() { # remember a Python whose version is right and not there yet
  local version
  version=$("$1" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return
  [[ $version =~ ^3\.1[123]$ && " ${found[*]-} " != *" $version="* ]] && found+=("$version=$1")
}
for python in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do try "$python"; done
if [ -z "${PYTHON:-}" ]; then
  for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*; do try "$folder/bin/python"; done
fi
if [ "${1:-}" = --all ]; then
  for python in "${found[@]}"; do echo "${python#*=}"; done
  exit 0
fi
if [ ${#found[@]} -gt 0 ]; then
  echo "${found[0]#*=}"
  exit 0
fi
cat >&2 <<TEXT
No usable Python found${PYTHON:+ at $PYTHON}. This project needs Python 3.11, 3.12 or 3.13 with the venv module
(3.14 and later are not tested). Install one, such as:
  Debian or Ubuntu:  apt install python3.11 python3.11-venv
  macOS:             brew install python@3.11
  conda:             conda create -n py311 python=3.11 && conda activate py311
then run make again, or name it:  make PYTHON=/path/to/python3.11 test
TEXT
exit 1
