# Every target makes the environments it needs in .environments/ on first use; see scripts/environments.py.
PYTHON ?= python3

.PHONY: help demo demo-proxy quick test test-all test-interface prove-installer fuzz check docs package benchmark benchmark-painter check-painter evaluate-cache evaluate evaluate-picture kill-test survival-test ticks clean

help:
	@echo "make demo       five real panoramas of a street -> out/demo/ (.blend, geometry frames, tagged 360 MP4, contact sheet)"
	@echo "make demo-proxy the same quickly: two panoramas projected onto a ground plane and walls"
	@echo "make quick      style, layers and core without a Blender, in under 20 s; no types: that is make check"
	@echo "make check      style and types of everything"
	@echo "make test       style, types, layers, the documentation site and the test suite in Blender 4.5 LTS, 5.0, 5.2 LTS and 5.3"
	@echo "make test-all   make test and make test-interface beside each other: what .ci/run asks for"
	@echo "make test-interface  a mouse and a keyboard in the real application on a virtual screen -> out/interface/ (Linux, root)"
	@echo "make prove-installer  interrupted, offline, starved, without permission for real, about 5 min -> out/interface/installer.json"
	@echo "make fuzz       50,000 hostile files for every parser: none may crash it, take 10 s or 512 MB; about 3 min"
	@echo "make docs       the documentation site -> out/site/; a link that leads nowhere fails"
	@echo "make package    out/pantheon360-VERSION.zip, checked by Blender's validator"
	@echo "make benchmark  out/benchmark.json and a table"
	@echo "make benchmark-painter  the diffusion painter on this computer's GPU -> out/benchmark-painter.json and a table"
	@echo "make check-painter  the diffusion painter's proofs -> out/painter.json"
	@echo "make evaluate-cache  reconstruction against rendered truth and on a real street -> out/cache.json and pictures"
	@echo "make evaluate   painters against rendered truth -> docs/results.md, docs/results.csv, out/evaluation/"
	@echo "make evaluate-picture  the captures' own pixels against points, against rendered truth and on a real street -> out/picture.json, out/picture-*.jpg"
	@echo "make kill-test  kill -9 at 50 random moments of each kind of job; about an hour -> out/kill-test.json and a table"
	@echo "make ticks      the longest tick of Blender's main thread by activity, before and now -> out/interface/ticks.json and a table"
	@echo "make survival-test  kill -9 and an artist's undo, load, save at random moments of Blender's queue; an hour -> out/interface/survival.json"
	@echo "make clean      remove out/ (environments and downloads stay)"

demo:
	$(PYTHON) scripts/demo.py

demo-proxy:
	$(PYTHON) scripts/demo.py --cache proxy

quick:
	$(PYTHON) scripts/quick.py

test:
	$(PYTHON) scripts/test.py

test-all:
	$(PYTHON) scripts/test.py all

test-interface:
	$(PYTHON) scripts/test_interface.py

prove-installer:
	$(PYTHON) scripts/prove_installer.py --real

fuzz:
	$(PYTHON) scripts/fuzz.py

check:
	$(PYTHON) scripts/check.py

docs:
	$(PYTHON) scripts/docs.py

package:
	$(PYTHON) scripts/package.py

benchmark:
	$(PYTHON) scripts/benchmark.py

benchmark-painter:
	$(PYTHON) scripts/benchmark_painter.py

check-painter:
	$(PYTHON) scripts/check_painter.py

evaluate-cache:
	$(PYTHON) scripts/evaluate_cache.py

evaluate:
	$(PYTHON) scripts/evaluate.py

evaluate-picture:
	$(PYTHON) scripts/evaluate_picture.py

kill-test:
	$(PYTHON) scripts/environments.py backend blender-4.5
	$(PYTHON) scripts/kill_test.py

ticks:
	$(PYTHON) scripts/measure_ticks.py

survival-test:
	$(PYTHON) scripts/environments.py backend blender-5.3
	$(PYTHON) scripts/survival.py

clean:
	rm -rf out
