#!/bin/bash
# Installs Debian's PostgreSQL for `make test-stack`, unless a server is there. Tests start their own
# on free ports, so the package is kept from making and starting one. Fails when it cannot.
set -euo pipefail

if compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null; then
    exit 0
fi

root=()
((EUID == 0)) || root=(sudo --non-interactive)
# what pg_createcluster reads besides its own file, which comes with the package
settings=/etc/postgresql-common/createcluster.d
"${root[@]}" mkdir -p "$settings"
echo "create_main_cluster = off" | "${root[@]}" tee "$settings/tests.conf" >/dev/null
trap '"${root[@]}" rm -f "$settings/tests.conf"' EXIT

"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq --yes --no-install-recommends postgresql
