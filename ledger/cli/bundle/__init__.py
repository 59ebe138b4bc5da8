"""Commands about migrations on disk and registered bundles."""
