"""Metrics of a Flame engine and of its informers for Prometheus: an informer plugin."""

from flamepy_prometheus.plugin import Prometheus

__all__ = ["Prometheus"]
