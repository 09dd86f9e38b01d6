"""A sink that posts events of a Flame engine as signed CloudEvents: plugin ``webhook``."""

from flamepy_webhook.plugin import Webhook

__all__ = ["Webhook"]
