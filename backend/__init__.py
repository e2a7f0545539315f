"""The other process: whatever needs time, memory or packages that Blender does not have. Never `bpy`."""

import os

# Before numpy is there: OpenBLAS shares out long sums, so that their last digits depend on the number of processors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
