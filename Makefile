# `make demo`, `make test` and `make lint` work in a clean clone: each installs first, once.
#
# PYTHON       makes the environment; 3.10 or newer
# VENV         the environment; one that exists is used as it is
# DETECTRON2   where detectron2 comes from: auto, github or pypi
# TORCH_INDEX  package index for torch and torchvision, such as one with CPU builds
# TASK         which bundled model the demo runs or is trained: vis, vss, vps or evs
# OUTPUT       where the demo writes
# PYTEST_ARGS  more arguments for pytest

PYTHON ?= python3
VENV ?= .venv
DETECTRON2 ?= auto
TORCH_INDEX ?=
TASK ?= vis
OUTPUT ?= output/demo/$(TASK)
PYTEST_ARGS ?=

ifneq ($(words $(VENV)),1)
$(error VENV is "$(VENV)"; give a path without spaces)
endif
BIN := $(VENV)/bin
STAMP := $(VENV)/.gvseg-installed
OPERATOR_SOURCES := $(shell find gvseg/ops/csrc -name '*.cpp' -o -name '*.cu' -o -name '*.h' -o -name '*.cuh')
INSTALL_INPUTS := setup.py pyproject.toml constraints.txt tools/install.py tools/install_detectron2.py

.PHONY: help install reinstall demo train test synthetic-data lint format clean distclean

help:
	@echo "make demo       segment the bundled clip, result in $(OUTPUT); TASK=vss, vps or evs: by another model"
	@echo "make train      train the bundled model of a TASK again, into output/train/$(TASK)"
	@echo "make test       run the tests"
	@echo "make synthetic-data  write small made-up videos that configs/quick trains on"
	@echo "make lint       run every check of the sources"
	@echo "make format     let ruff and clang-format rewrite the sources"
	@echo "make install    only install, into $(VENV)"
	@echo "make reinstall  install again, such as after a compiler was added"
	@echo "make clean      remove what was built; make distclean removes $(VENV) too, if made here"
	@echo "Variables: PYTHON, VENV, DETECTRON2, TORCH_INDEX, TASK, OUTPUT, PYTEST_ARGS (see the head of the Makefile)"

install: $(STAMP)

$(STAMP): $(INSTALL_INPUTS) $(OPERATOR_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "gvseg needs Python 3.10 or newer; $(PYTHON) is not. Name another: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) tools/install.py --venv $(VENV) --detectron2 $(DETECTRON2) \
		$(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
	@touch $@

reinstall:
	@rm -f $(STAMP)
	@$(MAKE) install

demo: install
	@$(BIN)/python demo/demo.py --task $(TASK) --output $(OUTPUT)

# The bundled models again, as MODEL_ZOO.md has them; a stopped training goes on.
CONFIG_vis := configs/coco128/gvseg_beside_effnet_lite0.yaml
CONFIG_vss := configs/camvid/gvseg_effnet_lite0.yaml
CONFIG_vps := configs/camvid/gvseg_vps_effnet_lite0.yaml
CONFIG_evs := configs/coco128/gvseg_evs_effnet_lite0.yaml
TRAIN := $(BIN)/python train_net.py --resume --config-file
train: install
	@test "$(CONFIG_$(TASK))" || { echo "There is no TASK=$(TASK); choose vis, vss, vps or evs." >&2; exit 1; }
	$(if $(filter vis,$(TASK)),@test -e output/gvseg_coco128/model_final.pth || \
		$(TRAIN) configs/coco128/gvseg_effnet_lite0.yaml OUTPUT_DIR output/gvseg_coco128)
	@$(TRAIN) $(CONFIG_$(TASK)) OUTPUT_DIR output/train/$(TASK)

# Tensors in tests are small: more threads only get in each other's way.
test: install
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest $(PYTEST_ARGS)

# What configs/quick/synthetic_*.yaml train on: two sets of videos of other seeds.
SYNTHETIC := $${DETECTRON2_DATASETS:-datasets}/synthetic
MAKE_SYNTHETIC = $(BIN)/gvseg make-synthetic --split train --frames 12 --size 96x160
synthetic-data: install
	@for format in "ytvis --classes 6" "vspw --classes 12" "vipseg --classes 12" davis; do \
		$(MAKE_SYNTHETIC) --format $$format --videos 300 --seed 1 --root $(SYNTHETIC)/train || exit 1; \
		$(MAKE_SYNTHETIC) --format $$format --videos 30 --seed 2 --root $(SYNTHETIC)/val || exit 1; \
	done

lint: install
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> duplicated code"
	@$(BIN)/pylint --recursive=y --score=n --disable=all --enable=duplicate-code --min-similarity-lines=10 \
		$(wildcard gvseg projects)
	@echo "==> spelling"
	@$(BIN)/codespell
	@echo "==> clang-format"
	@$(if $(OPERATOR_SOURCES),$(BIN)/clang-format --dry-run --Werror $(OPERATOR_SOURCES))
	@echo "==> length of files"
	@$(BIN)/python tools/check_file_length.py

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(if $(OPERATOR_SOURCES),$(BIN)/clang-format -i $(OPERATOR_SOURCES))

# Without the built operator the installation is no longer whole, hence the stamp.
clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache gvseg/ops/*.so $(STAMP)
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Of environments, those alone that tools/install.py made.
distclean:
	@if [ -e $(VENV) ] && [ ! -e $(VENV)/.gvseg-made ]; then \
		echo "$(VENV) has no mark of make install; remove it yourself if it may go." >&2; exit 1; fi
	@$(MAKE) clean
	rm -rf $(VENV)
