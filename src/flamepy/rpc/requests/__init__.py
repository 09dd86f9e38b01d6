"""The frontend's requests: each call with its retries, and what an ambiguous outcome needs."""
