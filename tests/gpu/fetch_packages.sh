#!/usr/bin/env bash
# Downloads the Debian packages that a GPU machine without a package registry lacks, into tests/gpu/packages/ (about 10 MB, not committed).
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p packages
cd packages
apt-get download libdnnl2 libdnnl-dev libjpeg62-turbo libjpeg62-turbo-dev libpng16-16 libpng-dev libinih1 libinih-dev zlib1g zlib1g-dev
