"""The engine: all clients of a level, over all seeds, as one batched program; `federation.rounds` is the round."""
