#!/usr/bin/env bash
# Builds the images bitloot/SERVICE:TAG of all services, or of those that are named: tools/images.sh ingress delivery
set -euo pipefail
cd "$(dirname "$0")/.."
set -a && . deploy/images.env && set +a
tag=${TAG:-dev}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' shared/pyproject.toml)
revision=$(git describe --always --dirty 2>/dev/null || echo unknown)
[ $# -gt 0 ] || set -- ingress fulfillment delivery admin-api sandbox
for service in "$@"; do
  file=services/$service/Dockerfile
  [ -f "$file" ] || file=deploy/$service/Dockerfile
  docker build -q -f "$file" -t "bitloot/$service:$tag" \
    --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "NODE_IMAGE=$NODE_IMAGE" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" . >/dev/null
  docker image inspect -f "{{index .RepoTags 0}}  {{.Size}} bytes" "bitloot/$service:$tag"
done
