#!/bin/sh
# Installs what builds the image without Docker, as tests/rig/setup.sh does for the rig.
exec "$(dirname "$0")/../rig/setup.sh" buildah:buildah mmdebstrap:mmdebstrap
