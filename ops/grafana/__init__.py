"""Dashboards for Grafana, and what draws them without it."""
