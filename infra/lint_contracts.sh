#!/usr/bin/env bash
# Lint contracts by the standard's own tool, in an environment of its own: its dependencies are not Sluice's.
#   infra/lint_contracts.sh [FILE…]      default: every shipped contract
# The first call installs (about 20 s, 130 MB, a package index); after that it needs no network: the schema of each
# version of ODCS comes with the tool. Exits 1 when a contract is refused.
set -euo pipefail
[ $# -eq 0 ] || mapfile -d '' -t files < <(realpath --zero -- "$@")
cd "$(dirname "$0")/.."
VERSION=1.2.8 # reads ODCS v3.1 with the schema it brings along
VENV=${CONTRACTS_VENV:-.venv-contracts}
STAMP="$VENV/.installed-$VERSION"

if [ ! -e "$STAMP" ]; then
  rm -rf "$VENV"
  "${PYTHON:-python3.11}" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "datacontract-cli==$VERSION"
  touch "$STAMP"
fi

[ $# -gt 0 ] || files=(data_contracts/contracts/*.odcs.yaml)
refused=0
for contract in "${files[@]}"; do
  if report=$("$VENV/bin/datacontract" lint --all-errors --no-inline-references "$contract" 2>&1); then
    echo "$contract: fine by datacontract-cli $VERSION"
  else
    printf '%s\n%s: refused by datacontract-cli %s\n' "$report" "$contract" "$VERSION"
    refused=1
  fi
done
exit "$refused"
