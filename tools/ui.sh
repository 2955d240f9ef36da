#!/usr/bin/env bash
# The admin's desk and the TypeScript SDK: install | build | sdk | lint | format | test. Does nothing twice: what depends on files only
# is done again when one of them has changed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root/services/admin-api"
node=("$root/tools/node.sh")
built=admin_api/api/static/dist
schema=sdk/typescript/src/schema.ts
generate=(npx --no-install openapi-typescript openapi.json --alphabetize)

sum() { sha256sum | cut -d' ' -f1; }
stamped() { [ "$(cat "$1" 2>/dev/null || true)" = "$2" ]; }

install() {
  local stamp
  stamp=$(cat package-lock.json package.json ui/package.json sdk/typescript/package.json .npmrc | sum)
  stamped node_modules/.stamp "$stamp" && return
  echo "ui: installing the npm packages" >&2
  "${node[@]}" npm ci --no-progress --loglevel=error >&2
  echo "$stamp" > node_modules/.stamp
}

build() {
  local stamp
  stamp=$(find ui sdk/typescript package-lock.json -type f -not -path '*/node_modules/*' -print0 | sort -z | xargs -0 sha256sum | sum)
  stamped "$built/.stamp" "$stamp" && return
  install
  echo "ui: building the desk" >&2
  (cd ui && "${node[@]}" npx --no-install vite build --logLevel warn) >&2
  echo "$stamp" > "$built/.stamp"
}

sdk() {
  install
  "${node[@]}" "${generate[@]}" --output "$schema"
}

lint() {
  install
  made=$(mktemp -d)
  trap 'rm -rf "$made"' EXIT
  "${node[@]}" "${generate[@]}" --output "$made/schema.ts" >/dev/null
  cmp -s "$made/schema.ts" "$schema" || { echo "The SDK is not what openapi.json makes: run make sdk." >&2; exit 1; }
  "${node[@]}" npx --no-install prettier --check --log-level warn .
  "${node[@]}" npx --no-install tsc --project tsconfig.json
  "${node[@]}" npx --no-install eslint --cache --cache-location node_modules/.cache/eslint/ ui sdk
}

format() {
  install
  "${node[@]}" npx --no-install prettier --write --log-level warn .
}

unit() {
  install
  (cd ui && "${node[@]}" npx --no-install vitest run --silent)
}

case "${1:-}" in
  install) install ;;
  build) build ;;
  sdk) sdk ;;
  lint) lint ;;
  format) format ;;
  test) unit ;;
  *) echo "usage: tools/ui.sh install|build|sdk|lint|format|test" >&2; exit 2 ;;
esac
