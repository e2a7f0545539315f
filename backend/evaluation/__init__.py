"""How good painted panoramas are: clips whose truth is known, rows that paint them, and measures of what they paint.

`evaluate.py` runs it; `clips.py` reads datasets, `caches.py` makes the 3D caches of the regimes, `methods.py` are the
rows, `judge.py` measures, `tables.py` and `pictures.py` write what people read.
"""
