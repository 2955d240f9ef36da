#!/usr/bin/env bash
# Checks the alert rules and runs their tests with promtool: the one in PATH, or one built from its Go module, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v0.316.0 # the module's number for Prometheus 3.16
promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
  promtool=$PWD/.cache/promtool-$version/promtool
  if [ ! -x "$promtool" ]; then
    command -v go >/dev/null || { echo "alerts-test: skipped, for there is neither promtool nor go here" >&2; exit 0; }
    echo "alerts-test: building promtool $version, once" >&2
    GOBIN=$(dirname "$promtool") go install "github.com/prometheus/prometheus/cmd/promtool@$version"
  fi
fi
"$promtool" check rules deploy/observability/prometheus/rules.yaml
"$promtool" test rules deploy/observability/prometheus/rules_test.yaml
