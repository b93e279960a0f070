# Everything a contributor runs. Each target sets up what it needs by itself: virtual
# environments are in .venvs/, generated sources and wheels in build/.

SHELL := bash
.DEFAULT_GOAL := help
ARGS ?=

# The developer's environment with these extras; "servers" where they are needed, too.
develop = ./scripts/prerequisites.sh $(2) && python=$$(./scripts/develop.sh $(1))

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-9s %s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHONS="3.12 3.13" limits the interpreters; ARGS="…" goes to demo, bench, soak, gotest, pytest, clients.'

.PHONY: demo
demo: ## replay a day of flights through the engine (ARGS="--speed 600 --json", ARGS=--web for a page)
	@$(call develop,demo web) && "$$python" -m fraiseql_subscriptions demo $(ARGS)

.PHONY: test
test: ## every check and test, on every CPython (3.10 or newer) of this machine
	@./scripts/test.sh

.PHONY: build
build: ## build the native module into python/ and install it editable in .venvs/dev
	@$(call develop,dev test) && echo "ready: $$python"

.PHONY: pytest
pytest: ## the Python tests alone, in .venvs/dev (ARGS="-k drain -x")
	@$(call develop,dev test,servers) && "$$python" -m pytest --ignore=tests/clients $(ARGS)

.PHONY: clients
clients: ## the tests with npm's and Python's GraphQL clients and a browser, in .venvs/dev (ARGS="-k urql")
	@$(call develop,dev test clients,servers) && "$$python" -m pytest tests/clients $(ARGS)

.PHONY: vendor
vendor: ## copy what the demo's GraphiQL page ships from the packages that tests/clients/node locks
	@$(call develop,dev test clients,servers) && "$$python" scripts/vendor.py $(ARGS)

.PHONY: gotest
gotest: ## the Go tests alone, race detector on (ARGS="-run Queue")
	@./scripts/prerequisites.sh servers && packages=$$(./scripts/go_packages.sh) && go test -race -shuffle=on $(ARGS) $$packages

.PHONY: fuzz
fuzz: ## every Go fuzz target for FUZZTIME (1m)
	@./scripts/fuzz.sh $(or $(FUZZTIME),1m)

.PHONY: nightly
nightly: ## what is too long for every change: 100,000 security cases, ten times the fuzzing, a longer soak
	@$(MAKE) --no-print-directory pytest ARGS="-k security_model -o faulthandler_timeout=7200" SECURITY_CASES=100000
	@./scripts/fuzz.sh 1500000x
	@$(MAKE) --no-print-directory soak ARGS="--events 30000000"

.PHONY: lint
lint: ## gofumpt, go vet, staticcheck, ruff, mypy, stubtest
	@$(call develop,dev test bench clients) && ./scripts/lint.sh

.PHONY: docs
docs: ## write docs/reference.md from the docstrings
	@$(call develop,test) && "$$python" scripts/reference.py

.PHONY: format
format: ## format Go and Python
	@$(call develop,dev test) && \
	CGO_ENABLED=0 go tool gofumpt -w go benchmarks && \
	"$$python" -m ruff check -q --fix-only . && "$$python" -m ruff format -q .

.PHONY: bench
bench: ## run benchmarks/ and print one table (BRIEF=1: short)
	@$(call develop,bench,servers) && "$$python" benchmarks/run.py $(if $(BRIEF),--brief) $(ARGS)

.PHONY: profile
profile: ## renew go/engine.pgo, what the compiler knows of the engine's busiest paths
	@./scripts/prerequisites.sh servers && ./scripts/profile.sh

.PHONY: soak
soak: ## ten million events with subscriptions coming and going, watched; then the buses under faults, FAULT_SECONDS (300) each
	@$(call develop,bench test,servers) && "$$python" benchmarks/soak.py $(ARGS) && \
	FAULT_SECONDS=$(or $(FAULT_SECONDS),300) "$$python" -m pytest -q tests/integration -k under_faults -o faulthandler_timeout=7200

.PHONY: benchstat
benchstat: ## the lock-free queue against its mutex twin, at GOMAXPROCS 1, 2 and 8
	@./scripts/prerequisites.sh && mkdir -p build && \
	go test ./go/internal/queue -run '^$$' -bench . -cpu 1,2,8 -count 10 -benchtime 100ms $(ARGS) >build/queue.txt && \
	go tool benchstat -col /twin build/queue.txt

.PHONY: wheel
wheel: ## a wheel for every CPython of this machine, in dist/
	@./scripts/prerequisites.sh && ./scripts/wheels.sh

.PHONY: clean
clean: ## remove everything that was built or installed here
	@rm -rf build dist .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -rf python/*.egg-info python/fraiseql_subscriptions/_native*.so
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
