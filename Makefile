# The same targets here and in CI. `pip install -e '.[dev]'` first.
PYTHON ?= python

# What is measured; the packaged model unless said otherwise.
MODELS ?=
CHECKPOINTS ?=
DATA ?=
BENCHMARK ?= $(PYTHON) -m edge_mri benchmark
RESULTS ?= benchmarks/results
# INT8 end to end against eager MobileNetV2 on one thread; surely below it a build fails. `auto`:
# what this kind of CPU can keep (benchmarks/edge_mri_bench/figures/cpu_kinds.py).
FLOOR ?= auto
BASELINE ?=
OUT ?= build/benchmark

.PHONY: test check docs figures model dist wheel-test oldest-click portability bench bench-quick bench-report

test:  ## everything the tests cover: a process a core, each one thread; says what was skipped
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -rs --numprocesses auto --dist loadfile --no-loadscope-reorder

check:  ## lint, format, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	lint-imports

docs:  ## the site, in build/site; a broken link fails. `pip install -e '.[docs]'` first
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

figures:  ## what the pages show of the packaged model: tables, card, pictures
	$(PYTHON) benchmarks/studies/release/model_card.py runtime/edge_mri/models/edge_mri_int8.onnx \
	    --figures docs/figures --out docs/model-card.md
	$(PYTHON) benchmarks/studies/release/readme_tables.py
	$(PYTHON) benchmarks/studies/release/draw_picture.py
	$(PYTHON) benchmarks/studies/release/draw_how_it_works.py

model:  ## the packaged model and its figures, from DATA: hours; what was stopped goes on
	$(PYTHON) benchmarks/studies/release/make_model.py $(DATA) --out build/model

dist:  ## sdist and wheel in build/dist, checked as an index would; `pip install -e '.[dist]'` first
	.ci/dist

wheel-test:  ## the built wheel alone, without torch: newest and oldest dependencies
	.ci/wheel-test

oldest-click:  ## every command is imported with the oldest click that is allowed
	PYTHON=$(PYTHON) .ci/oldest-click

portability:  ## the packaged model's answers on other CPUs, emulated; skips where it cannot
	.ci/portability

bench:  ## the pytest-benchmark suites: networks x backends
	$(PYTHON) -m pytest benchmarks $(foreach file,$(MODELS),--model $(file)) \
	    $(foreach file,$(CHECKPOINTS),--checkpoint $(file)) $(foreach dir,$(DATA),--data $(dir))

bench-quick:  ## a minute: the packaged model against eager PyTorch, with a floor; writes OUT/
	$(BENCHMARK) --effort quick --backend pytorch --backend ort-int8 --backend openvino-int8 \
	    --json $(OUT)/benchmark.json --markdown $(OUT)/benchmark.md --html $(OUT)/benchmark.html \
	    $(if $(BASELINE),--compare $(BASELINE)) --floor $(FLOOR)

bench-report:  ## most of an hour on a quiet machine: the record, the tables of the document, the plots
	$(BENCHMARK) $(MODELS) $(foreach file,$(CHECKPOINTS),--checkpoint $(file)) \
	    $(foreach dir,$(DATA),--data $(dir)) $(if $(DATA),--time-phantoms) --effort full \
	    --json $(RESULTS)/$(shell date -u +%Y-%m-%d).json --html $(OUT)/report.html \
	    --markdown docs/benchmarks.md --plots docs/plots
