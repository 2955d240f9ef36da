#!/usr/bin/env bash
# Runs a command (node, npm, npx) with the system's Node when it is new enough, else with the one from the wheel.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What Vite and ESLint ask for: 20.19, or 22.13 and later.
if ! command -v npm >/dev/null || ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit((a === 20 && b >= 19) || (a === 22 && b >= 13) || a >= 24 ? 0 : 1)' 2>/dev/null; then
  wheel="$root/.cache/node"
  stamp=$(sha256sum "$root/requirements/node.lock" | cut -d' ' -f1)
  if [ "$(cat "$wheel/stamp" 2>/dev/null || true)" != "$stamp" ]; then
    echo "node: the system has no Node 20.19, 22.13 or newer; installing one into .cache/node" >&2
    rm -rf "$wheel"
    "${PYTHON:-python3}" -m venv "$wheel"
    "$wheel/bin/python" -m pip --disable-pip-version-check install -q --require-hashes -r "$root/requirements/node.lock"
    echo "$stamp" > "$wheel/stamp"
  fi
  PATH="$wheel/bin:$PATH"
fi
exec "$@"
