#!/usr/bin/env bash
# Makes .venv from the lock files. Does nothing when they have not changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "BitLoot needs Python 3.11 or newer; $python is $("$python" -V 2>&1)." >&2; exit 1; }
stamp=$(cat requirements/*.lock pyproject.toml shared/pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml tools/setup.sh | sha256sum | cut -d' ' -f1)
[ "$(cat .venv/stamp 2>/dev/null || true)" = "$stamp" ] && exit 0
echo "setup: installing the Python packages into .venv" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip --disable-pip-version-check install -q --require-hashes -r requirements/uv.lock
uv=(.venv/bin/uv pip)
"${uv[@]}" sync -q --python .venv/bin/python --require-hashes requirements/all.lock
"${uv[@]}" install -q --python .venv/bin/python --require-hashes -r requirements/uv.lock
"${uv[@]}" install -q --python .venv/bin/python --no-deps --no-build-isolation \
  -e shared -e services/ingress -e services/fulfillment -e services/delivery -e services/admin-api \
  -e deploy/local -e deploy/sandbox
echo "$stamp" > .venv/stamp
