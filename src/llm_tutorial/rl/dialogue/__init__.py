"""A task-oriented dialogue: booking a train with a simulated user, over a channel that mishears."""
