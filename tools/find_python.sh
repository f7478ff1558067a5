#!/usr/bin/env bash
# Print a Python that the dependencies resolve on: 3.11 or 3.12, with venv. PYTHON=... is taken as given.
set -u
right='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'
for python in ${PYTHON:-python3.11 python3.12 python3 python}; do
  if "$python" -c "$right" >/dev/null 2>&1; then
    echo "$python"
    exit 0
  fi
done
for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[12].*; do
  if [ -z "${PYTHON:-}" ] && "$folder/bin/python" -c "$right" >/dev/null 2>&1; then
    echo "$folder/bin/python"
    exit 0
  fi
done
cat >&2 <<TEXT
No usable Python found${PYTHON:+ at $PYTHON}. This project needs Python 3.11 or 3.12 with the venv module
(3.13 and later are not tested). Install one, such as:
  Debian or Ubuntu:  apt install python3.11 python3.11-venv
  macOS:             brew install python@3.11
  conda:             conda create -n py311 python=3.11 && conda activate py311
then run make again, or name it:  make PYTHON=/path/to/python3.11 test
TEXT
exit 1
