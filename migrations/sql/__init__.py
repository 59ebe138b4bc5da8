"""What SQL says, read with PostgreSQL's own grammar; nothing is sent anywhere."""
