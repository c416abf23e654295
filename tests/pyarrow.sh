#!/usr/bin/env bash
# Puts pyarrow into build/python, a virtual environment, for the tests of Parquet logs (tests/io/parquet_test.cc), unless
# python3 has it. Debian does not package it. Where PyPI cannot be reached these tests are skipped, which is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

has_pyarrow() { "$1" -c 'import pyarrow.parquet' 2>/dev/null; }
if has_pyarrow python3 || has_pyarrow build/python/bin/python3; then exit 0; fi
echo "== pyarrow into build/python"
python3 -m venv build/python && build/python/bin/pip install --quiet --disable-pip-version-check pyarrow || {
  rm -rf build/python
  echo "pyarrow cannot be installed: the tests of Parquet logs will be skipped" >&2
}
