"""YAML in and out: reading documents safely, writing them, CRDs and roles."""
