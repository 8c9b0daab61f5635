"""The memory: what was observed, what is linked, what was sent and what came of it. Only here is SQL known."""
