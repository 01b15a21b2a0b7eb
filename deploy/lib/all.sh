# What every command here begins with: the folders, and the pieces to source.
# shellcheck shell=bash

DEPLOY=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(dirname "$DEPLOY")
TOOLS=$ROOT/.tools

for piece in say ports process versions packages find_postgres nats_from_apt find_nats find_cargo_deny archive postgres \
  postgres_standby database_url nats rust data_folder programs python_tools demo; do
  # shellcheck source=/dev/null
  . "$DEPLOY/lib/$piece.sh"
done
