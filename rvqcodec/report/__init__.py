"""Runs of a comparison as JSON, and the pages and tables made of them."""
