"""Tests of what is installed: the Helm chart, the manifests rendered from it, the image, docs/install.md."""
