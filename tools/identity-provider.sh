#!/usr/bin/env bash
# Installs the OpenID provider that the tests of signing in are run against. Does nothing when it is there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/tests/integration/admin_api/provider"
stamp=$(sha256sum < package-lock.json | cut -d' ' -f1)
[ "$(cat node_modules/.stamp 2>/dev/null || true)" = "$stamp" ] && exit 0
echo "test: installing an identity provider" >&2
"$root/tools/node.sh" npm ci --ignore-scripts --no-progress --loglevel=error >&2
echo "$stamp" > node_modules/.stamp
