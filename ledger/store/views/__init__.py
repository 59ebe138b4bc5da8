"""Read models: rows made from events, and the queries over them."""
