"""Writing new migration files: templates, and recipes for changes without downtime."""
