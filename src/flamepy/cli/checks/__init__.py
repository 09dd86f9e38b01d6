"""What ``flamepy doctor`` and ``flamepy check-service`` try, and what it means."""
