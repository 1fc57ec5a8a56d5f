"""Dashboards, alerts and statistics, asked of a real Prometheus, controller and Envoy."""
