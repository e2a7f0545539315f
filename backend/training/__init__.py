"""Training a painter: worlds to learn from, what it is told of them, and the loop that learns.

worlds      clips whose truth is known: procedural worlds cast by rays, and shards of real ones
networks    what is trained: shapes of the networks, the objective, what they are told
trainer     the loops, their settings, checkpoints, samples and plots
"""
