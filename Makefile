# `make help` lists what there is. Everything needs Rust (rustup takes the version of
# rust-toolchain.toml) and a C compiler; what starts a cluster needs Go too, or KUBEBUILDER_ASSETS.

SHELL := bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Tools that are compiled once, beside the control plane and the judges.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/shopify-token-operator/tools
# Everywhere the same selection of packages, hence of features: nothing is compiled twice.
CARGO_FLAGS := --workspace --locked
# Most tests wait most of the time: three at once for each processor.
export RUST_TEST_THREADS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))

# $(call phase,name,command): says how long the command took.
define phase
	@printf '\n== %s\n' '$(1)'; start=$$SECONDS; $(2) \
	  && printf -- '-- %s: %d s\n' '$(1)' $$((SECONDS - start)) | tee -a $(TARGET)/phases
endef

# mdBook, unoptimized, for that is compiled in half the time; then the book, whose links must lead somewhere. Takes dev.
define book
cargo install --quiet --locked --debug --root $(TOOLS) --no-default-features --features search mdbook@0.5.4 \
  && home=https://github.com/$$(deploy/repository 2>/dev/null || echo OWNER/shopify-token-operator) \
  && MDBOOK_OUTPUT__HTML__GIT_REPOSITORY_URL="$$home" MDBOOK_OUTPUT__HTML__EDIT_URL_TEMPLATE="$$home/edit/main/{path}" \
    MDBOOK_PREPROCESSOR__LINKS_OUT__COMMAND='$(abspath $(TARGET)/debug/dev) book-links' \
    $(TOOLS)/bin/mdbook build --dest-dir '$(abspath $(TARGET)/book)' \
  && $(TARGET)/debug/dev book-check $(TARGET)/book
endef

.DEFAULT_GOAL := help

##@ Every day

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nA part of the tests: T=words, as in `make stories T=rotat`.\n'

.PHONY: build
build: ## The operator as it is shipped, small (profile dist): target/dist/shopify-token-operator
	cargo build --profile dist --locked --package shopify-token-operator --bin shopify-token-operator
	deploy/weigh $(TARGET)/dist/shopify-token-operator

.PHONY: image
image: build ## The image as an OCI archive in target/image: no daemon, no registry (needs buildah)
	deploy/image/build $(TARGET)/dist/shopify-token-operator $(TARGET)/image

.PHONY: release
release: published image plugin ## All that a release consists of, with checksums, in dist; REPOSITORY=owner/name at GitHub
	cargo build --locked --package dev --bin dev
	cargo install --quiet --locked --root $(TOOLS) cargo-cyclonedx@0.5.9
	rm -rf dist && mkdir dist
	cp $(TARGET)/image/*.oci.tar dist/
	PATH="$(TOOLS)/bin:$$PATH" cargo cyclonedx --quiet --format json --no-build-deps --override-filename sbom
	@# Where it was built is nobody's affair.
	sed 's|$(CURDIR)||g' sbom.json > dist/shopify-token-operator.cdx.json
	sed 's|$(CURDIR)||g' kubectl/sbom.json > dist/kubectl-shopify_token.cdx.json
	rm -f sbom.json dev/sbom.json kubectl/sbom.json sim/sbom.json
	HELM=$$($(TARGET)/debug/dev judges)/helm KUBECTL=$$($(TARGET)/debug/dev control-plane)/kubectl \
	  deploy/release $(TARGET)/dist/shopify-token-operator $(TARGET)/plugin/kubectl-shopify_token dist

.PHONY: published
published:
	@deploy/repository >/dev/null

.PHONY: plugin
plugin: ## The kubectl plugin and its completion: put target/plugin into PATH
	cargo build --profile plugin --locked --package kubectl-shopify-token --bin kubectl-shopify_token
	install -m 755 kubectl/kubectl_complete-shopify_token $(TARGET)/plugin

.PHONY: demo
demo: ## Cluster, simulated Shopify, operator and samples; ONCE=1 ends after the tour
	cargo build --release --locked --package shopify-token-operator --bin shopify-token-operator --package dev --bin dev
	@$(TARGET)/release/dev demo $(if $(ONCE),--once)

.PHONY: up
up: ## An empty cluster with the CRDs, until Ctrl-C
	cargo build --release --locked --package shopify-token-operator --bin shopify-token-operator --package dev --bin dev
	@$(TARGET)/release/dev up

.PHONY: bench
bench: profile = $(or $(PROFILE),dist)
bench: ## Figures of the image's binary beside a floor, in target/bench; QUICK=1 within minutes, ONLY=words, PROFILE=release
	cargo build --release --locked --package dev --bin dev
	cargo build --profile $(profile) --locked --package shopify-token-operator --bin shopify-token-operator
	@$(TARGET)/release/dev bench --out $(TARGET)/bench$(if $(ONLY),-only) $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)') \
	  --operator $(TARGET)/$(profile)/shopify-token-operator

.PHONY: book
book: ## The documentation as a book: target/book/index.html
	cargo build $(CARGO_FLAGS) --bin dev
	$(book)

##@ Before a commit

.PHONY: test
test: ## Everything that must pass
	@mkdir -p $(TARGET) && rm -f $(TARGET)/phases
	$(call phase,format,cargo fmt --all --check)
	$(call phase,clippy,cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings)
	$(call phase,documentation,RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps)
	$(call phase,build of the tests,cargo test $(CARGO_FLAGS) --no-run)
	@# dev is there already: its tests run it.
	$(call phase,book,$(book))
	@# One cluster for all of them.
	$(call phase,tests,$(TARGET)/debug/dev with-cluster -- cargo test $(CARGO_FLAGS))
	@printf '\nAll passed.\n'; cat $(TARGET)/phases

.PHONY: lint
lint: ## Format, clippy and documentation
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc $(CARGO_FLAGS) --no-deps

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt --all

.PHONY: audit
audit: ## Licences, banned and duplicate crates, sources, advisories (needs cargo-deny)
	@if cargo deny --version >/dev/null 2>&1; then \
	  cargo deny --workspace --locked check bans licenses sources && \
	  { cargo deny --workspace --locked check advisories || echo 'advisories: reported only, see above'; }; \
	else \
	  echo 'Not checked: cargo-deny is not installed (cargo install cargo-deny --locked).'; \
	fi

##@ A part of it, fast

# Words to choose tests by.
T ?=

.PHONY: test-core
test-core: ## The decisions: no cluster, no network
	cargo test $(CARGO_FLAGS) --lib -- core::$(T)

.PHONY: test-unit
test-unit: ## All unit tests: no cluster
	cargo test $(CARGO_FLAGS) --lib --bins -- $(T)

.PHONY: test-sim
test-sim: ## The simulated Shopify
	cargo test $(CARGO_FLAGS) --test it -- $(T)

.PHONY: stories
stories: ## What users do, against a real API server and the simulated Shopify
	cargo test $(CARGO_FLAGS) --test stories -- $(T)

.PHONY: test-plugin
test-plugin: ## The kubectl plugin, against a real API server and the operator
	cargo test $(CARGO_FLAGS) --test plugin -- $(T)

##@ Generated files

.PHONY: crds
crds: ## Writes crds/ from the types
	UPDATE_CRDS=1 cargo test $(CARGO_FLAGS) --test crd files_are_what_the_types_generate

.PHONY: rbac
rbac: ## Writes the roles of deploy/ from src/rbac.rs
	UPDATE_RBAC=1 cargo test $(CARGO_FLAGS) --test deploy roles_are_made_of_the_table

.PHONY: chart
chart: ## Writes the chart's defaults, their table in docs/ and its renderings
	UPDATE_CHART=1 cargo test $(CARGO_FLAGS) --test deploy defaults_and_their_table
	UPDATE_CHART=1 cargo test $(CARGO_FLAGS) --test deploy -- renderings_are_what_helm kustomize_has_what_the_chart_has

.PHONY: gitops
gitops: ## Records every phase of every source anew, and writes what is made of that for GitOps tools
	UPDATE_PHASES=1 cargo test $(CARGO_FLAGS) --test stories phases::
	UPDATE_GITOPS=1 cargo test $(CARGO_FLAGS) --test deploy -- health::tests_of_argo health::argo_cds_config_map_is_made

.PHONY: docs
docs: ## Writes the generated parts of docs/
	UPDATE_DOCS=1 cargo test $(CARGO_FLAGS) --test docs -- what_the_command_line_takes what_the_command_line_prints fields_are_what those_that_are_told those_that_are_registered shows_what_is_written
	UPDATE_CHART=1 cargo test $(CARGO_FLAGS) --test deploy defaults_and_their_table

.PHONY: verify
verify: ## Whether what is generated is up to date (part of `make test`)
	cargo test $(CARGO_FLAGS) --test crd --test docs --test deploy -- files_are_what_the_types_generate what_the_command_line_takes what_the_command_line_prints fields_are_what those_that_are_told those_that_are_registered \
	  shows_what_is_written \
	  roles_are_made_of_the_table defaults_and_their_table renderings_are_what_helm kustomize_has_what_the_chart_has \
	  health::tests_of_argo health::argo_cds_config_map_is_made
