"""The pages of the room: thin doors to metrics, charts and lists."""
