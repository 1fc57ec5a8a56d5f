"""Tests of an installation: the Helm chart, the rendered manifests, the image, docs/install.md."""
