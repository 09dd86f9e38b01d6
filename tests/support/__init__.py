"""What several test packages share: services, processes, conditions."""
