# Everything here works on a machine that has only Node 20 or newer and npm.
PNPM := npx --yes pnpm@12
NODE := sh scripts/node.sh
BIN := node_modules

.PHONY: help install up cluster test test-unit test-etcd conformance chaos chaos-short
.PHONY: upgrade-test golden
.PHONY: simulate simulate-mutants simulate-short lint fix generate pack bundle image chart rendered dashboards

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

install: ## Install the packages (and a Node, where the machine's is older than 26.9) and generate code
	@if [ ! -e node_modules/.modules.yaml ] || [ pnpm-lock.yaml -nt node_modules/.modules.yaml ]; then \
		$(PNPM) install --frozen-lockfile && touch node_modules/.modules.yaml; \
	elif [ ! -d packages/proto/gen ] || \
		[ -n "$$(find proto buf.gen.yaml -newer packages/proto/gen -name '*.*' | head -1)" ]; then \
		sh scripts/generate.sh; \
	fi

generate: ## Generate code from proto/
	sh scripts/generate.sh

up: install ## Run Ottla in one process: gRPC on 50051, HTTP on 8080, data in ./data
	@bin/ottla serve --data-dir data

cluster: install ## Run a cluster of many processes (DATA_DIR=..., ETCD_MEMBERS=3, PORT_OFFSET=1000)
	@exec $(NODE) scripts/cluster.ts

test: install ## Run all tests that need nothing but the packages
	$(NODE) $(BIN)/vitest/vitest.mjs run --project unit --project integration $(VITEST_FLAGS)

test-unit: install ## Run the tests that stay in one process
	$(NODE) $(BIN)/vitest/vitest.mjs run --project unit $(VITEST_FLAGS)

test-etcd: install ## Run what stands on etcd with another version of it: ETCD=3.5.13|3.5|3.6
	PATH="$$(sh tests/etcd/setup.sh $(ETCD)):$$PATH" $(NODE) $(BIN)/vitest/vitest.mjs run --project integration \
		tests/integration/etcd- tests/integration/coordinator-etcd tests/integration/cluster-restarts \
		tests/integration/cluster-recovery $(VITEST_FLAGS)

simulate: install ## Run a whole cluster on virtual time: SEEDS=1000, or SEED=7 LOG=1 to replay one
	@SEED='$(SEED)' SEEDS='$(SEEDS)' LOG='$(LOG)' $(NODE) tests/simulator/main.ts

simulate-mutants: install ## Prove that the simulator bites: deliberate bugs, each to be found (MUTANT=name)
	@MUTANT='$(MUTANT)' SEEDS='$(SEEDS)' QUICK='$(QUICK)' EACH='$(EACH)' $(NODE) tests/simulator/mutants-main.ts

simulate-short: install ## What continuous integration runs of it: some seeds, and mutants found soon
	$(NODE) $(BIN)/vitest/vitest.mjs run --project simulator $(VITEST_FLAGS)

conformance: install ## Prove Ottla with real Kafka clients and Kafka's own tools (fetched once)
	sh tests/conformance/setup.sh
	$(NODE) $(BIN)/vitest/vitest.mjs run --project conformance $(VITEST_FLAGS)

chaos-short: install ## Break a real cluster of many processes in each way once (needs etcd)
	sh tests/conformance/setup.sh python
	$(NODE) $(BIN)/vitest/vitest.mjs run --project chaos $(VITEST_FLAGS)

upgrade-test: install ## Upgrade a real cluster from the version before, and roll it back (needs etcd)
	sh tests/upgrade/setup.sh
	$(NODE) $(BIN)/vitest/vitest.mjs run --project upgrade $(VITEST_FLAGS)

chaos: install ## The same for MINUTES=10 with a random SEED; FAULTS=... names some of them
	sh tests/conformance/setup.sh python
	@$(NODE) tests/chaos/main.ts

golden: install ## Write a golden data directory of the formats of now (NAME=..., see tests/golden)
	$(NODE) tests/golden/make-golden.ts $(if $(NAME),--name $(NAME)) $(if $(OTTLA),--ottla $(OTTLA)) \
		$(if $(FORMATS),--formats '$(FORMATS)')

pack: install ## Make tarballs of the SDK and what it stands on, in dist/pack
	$(NODE) scripts/pack.ts

IMAGE ?= ottla:0.1.0
BASE ?= docker.io/library/node:26-slim
CONTAINER_TOOL ?= $(shell for tool in docker podman buildah; do command -v $$tool && break; done)

image: ## Build the container image; IMAGE=..., BASE=..., CONTAINER_TOOL=docker|podman|buildah
	@test -n "$(CONTAINER_TOOL)" || { echo "make image needs docker, podman or buildah" >&2; exit 69; }
	$(CONTAINER_TOOL) build -t $(IMAGE) --build-arg BASE=$(BASE) --build-arg VERSION=0.1.0 \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .

chart: install ## Prove the Helm chart with helm and Kubernetes' own schemas (fetched once)
	sh tests/chart/setup.sh
	$(NODE) $(BIN)/vitest/vitest.mjs run --project chart $(VITEST_FLAGS)

rendered: install ## Write k8s/rendered: the manifests of each profile of the chart
	sh tests/chart/setup.sh
	$(NODE) tests/chart/support/rendered.ts

dashboards: install ## Write the dashboards for Grafana
	$(NODE) scripts/dashboards.ts
	$(NODE) $(BIN)/@biomejs/biome/bin/biome format --write charts/ottla/files/dashboards

bundle: install ## Build Ottla as one program that runs without this tree, in dist/bundle
	$(NODE) scripts/bundle.ts

lint: install ## Check format, types, lint, import rules, dead code and proto
	$(NODE) $(BIN)/@biomejs/biome/bin/biome check
	$(NODE) $(BIN)/typescript/bin/tsc -p .
	$(NODE) $(BIN)/oxlint/bin/oxlint --type-aware --deny-warnings
	$(NODE) $(BIN)/knip/bin/knip.js
	$(NODE) $(BIN)/@bufbuild/buf/bin/buf lint
	$(NODE) $(BIN)/@bufbuild/buf/bin/buf breaking --against proto/baseline.binpb

fix: install ## Format and fix what can be fixed
	$(NODE) $(BIN)/@biomejs/biome/bin/biome check --write
	$(NODE) $(BIN)/oxlint/bin/oxlint --fix
