#!/usr/bin/env bash
# A Prefect server and a process worker on one machine, running the schedule of infra/prefect.yaml (or $1).
# State: $SLUICE_HOME (else .sluice) and $PREFECT_HOME. Port: $SLUICE_PREFECT_PORT (4200). Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "$0")/.."
prefect_file=${1:-infra/prefect.yaml}
port=${SLUICE_PREFECT_PORT:-4200}
export SLUICE_HOME=${SLUICE_HOME:-$PWD/.sluice}
export PREFECT_HOME=${PREFECT_HOME:-$SLUICE_HOME/prefect}
export PREFECT_API_URL="http://127.0.0.1:$port/api"
export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
prefect=.venv/bin/prefect

# Parameters and results of runs lie in the server's database: nobody else on this machine may read it.
umask 077
mkdir -p "$SLUICE_HOME" "$PREFECT_HOME"

"$prefect" server start --host 127.0.0.1 --port "$port" --no-ui >"$PREFECT_HOME/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 120); do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "the Prefect server did not start; see $PREFECT_HOME/server.log" >&2
    exit 1
  fi
  .venv/bin/python -c "import sys, httpx; sys.exit(not httpx.get('$PREFECT_API_URL/health').is_success)" 2>/dev/null && break
  sleep 1
done

"$prefect" work-pool create sluice --type process --overwrite
"$prefect" --no-prompt deploy --all --prefect-file "$prefect_file"
echo "the schedule runs; server at $PREFECT_API_URL, log in $PREFECT_HOME/server.log"
"$prefect" worker start --pool sluice --type process
