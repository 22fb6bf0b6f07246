#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compose-env.sh FILE: writes random passwords for docker-compose.yaml. A file that is there is kept: the databases in
# the volumes were made with it.
set -euo pipefail
file=${1:?usage: compose-env.sh FILE}

if [ -e "$file" ]; then
	echo "$file is there already; remove it together with the volumes (docker compose down -v) for new passwords"
	exit 0
fi
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >"$file.new" <<END
SOURCE_PASSWORD=$(random)
TARGET_PASSWORD=$(random)
FRESHET_PASSWORD=$(random)
END
mv "$file.new" "$file"
echo "wrote $file"
