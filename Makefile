# make test   everything that must pass before a change lands (CI runs this)
# make bare   the tests as a machine without sqlite3, zstd, python3, … runs them
# make browser  the tests of the page, in Chromium
# make lint   vet, staticcheck, tidiness, the project's rules
# make build  ./snapd
# make bench  benchmarks                         BENCH=regexp  BENCHTIME=1s
#             SNAPD_BENCH_BYTES=1GiB for larger databases; ./bench/compare compares programs
# make sweep  every point at which a process or the power can go, and failing calls and damaged pages:
#             SWEEP=3/20 is the third of twenty parts of these, SWEEP=1 all, which takes hours
# make soak   backups with concurrent writers      SOAK=5m
# make fuzz   every fuzz target in turn           FUZZTIME=30s
# make screenshots  the page in every state, into docs/screenshots
# make fmt    format the sources

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := test

GO          ?= go
# Nothing here needs a C compiler, and nothing may come to need one.
export CGO_ENABLED := 0

# Users of the library must not find this tool among their modules: it is run
# by version, never required in go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The tests of the page are a separate module, so that the library does not require
# a browser driver.
BROWSER     := httpapi/browser
MODULES     := . $(BROWSER)
PLATFORMS   := linux/arm64 darwin/arm64 windows/amd64
TOOLS       := sqlite3 zstd python3 npm curl jq age
# The object storage that the tests run, by version too: internal/store/storetest looks for it there.
GATEWAY     := github.com/versity/versitygw/cmd/versitygw@v1.8.0
GATEWAY_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/snapd-tools/versitygw-$(lastword $(subst @, ,$(GATEWAY)))
SFTP_SERVER := /usr/lib/openssh/sftp-server
AXE         := $(BROWSER)/axe
# The tests wait for disks and for other processes about as long as they compute.
TESTFLAGS   ?= -count=1 -timeout 40m -parallel $(shell expr 2 '*' "$$(getconf _NPROCESSORS_ONLN)")
BENCH       ?= .
BENCHTIME   ?= 1s
SOAK        ?= 5m
SWEEP       ?= 1/20
SWEEPS      := Killed|PowerLoss|Faults|ApplicationStartsFirst|EveryPlace|EveryBit|EveryTruncation|EachPage|FlippedBits|Planted|DamagedAnywhere|CorruptFixtures|Untrusted
SWEPT       := ./snapshot ./integrity ./internal/swap ./internal/durable ./internal/activity ./internal/pages ./internal/repair ./internal/archive ./internal/catalogfile ./internal/capture
FUZZTIME    ?= 30s

say = @printf '\n== %s (%s)\n' "$(1)" "$$(date -u +%T)"

.PHONY: test tests bare browser tools programs lint vet staticcheck tidy rules cross unit build bench sweep soak fuzz screenshots fmt clean

test: tools lint build cross tests

# Both at once: the browser is waited for most of the time.
tests: tools
	@$(MAKE) --no-print-directory browser & browser=$$!; failed=0; \
	$(MAKE) --no-print-directory unit || failed=1; wait $$browser || failed=1; exit $$failed

# The programs that the tests compare snapd with, and the browser and the
# accessibility checker for the page. CHROMIUM names a browser that is not on PATH.
tools: programs $(GATEWAY_DIR)/versitygw $(AXE)/node_modules/.package-lock.json

programs:
	@missing=; for tool in $(TOOLS); do command -v $$tool >/dev/null || missing+=" $$tool"; done; \
	[ -n "$${CHROMIUM:-}" ] || command -v chromium-headless-shell chromium chromium-browser google-chrome >/dev/null || missing+=" chromium-headless-shell"; \
	[ -x $(SFTP_SERVER) ] || command -v sftp-server >/dev/null || missing+=" openssh-sftp-server"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		printf '== installing%s\n' "$$missing"; export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	else \
		printf 'missing:%s\nthe tests need them; install them, on Debian with\n  sudo apt-get install%s\n' "$$missing" "$$missing" >&2; \
		exit 1; \
	fi

$(GATEWAY_DIR)/versitygw:
	@printf '== versitygw\n'
	@GOBIN=$(GATEWAY_DIR) $(GO) install $(GATEWAY)

# npm writes this file last, so that a second run finds everything done.
$(AXE)/node_modules/.package-lock.json: $(AXE)/package.json $(AXE)/package-lock.json
	@printf '== axe-core\n'
	@npm ci --prefix $(AXE) --ignore-scripts --no-audit --no-fund --prefer-offline --silent
	@touch $@

lint: vet staticcheck tidy rules

# The tags only add files.
vet:
	$(call say,go vet)
	@for module in $(MODULES); do $(GO) vet -C $$module -tags soak,screenshots ./...; done

staticcheck:
	$(call say,staticcheck)
	@for module in $(MODULES); do (cd $$module; $(GO) run $(STATICCHECK) ./...); done

tidy:
	$(call say,go mod tidy -diff)
	@for module in $(MODULES); do (cd $$module; $(GO) mod tidy -diff; $(GO) mod verify); done

rules:
	$(call say,rules of the project)
	@$(GO) test -count=1 ./internal/lint

# Vet type-checks the tests of the platform too. Those of the page run in CI only.
cross:
	@for platform in $(PLATFORMS); do \
		printf '\n== build and vet for %s (%s)\n' "$$platform" "$$(date -u +%T)"; \
		export GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(GO) build ./...; $(GO) vet ./...; \
	done

# The package whose tests take the longest comes first, so that none of it is left at the end.
unit:
	$(call say,go test)
	@$(GO) test -vet=off $(TESTFLAGS) ./snapshot ./...

browser: tools
	$(call say,go test in the browser)
	@$(GO) test -C $(BROWSER) -vet=off $(TESTFLAGS) ./...

# Only Go and the tools of every system are on the PATH; CI is not set, so that a
# test that needs more is skipped and says so.
bare:
	$(call say,go test on a bare machine)
	@bin=$$(mktemp -d); chmod 755 "$$bin"; trap 'rm -r "$$bin"' EXIT; \
	ln -s "$$(command -v $(GO))" "$$bin/go"; \
	for tool in sh bash basename cat chmod cp cut dd grep head kill ls mkdir mkfifo mv rm sed sleep sort stat tail touch tr wc git; do ln -s "$$(command -v $$tool)" "$$bin/"; done; \
	env -u CI -u CHROMIUM SNAPD_VERSITYGW="$$bin/versitygw" SNAPD_SFTP_SERVER="$$bin/sftp-server" PATH="$$bin" "$$bin/go" test $(TESTFLAGS) ./...

build:
	$(call say,./snapd)
	@$(GO) build -o snapd$$($(GO) env GOEXE) ./cmd/snapd

bench:
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 60m ./...

# go test samples all of these (testdb.Sample, testdb.Sampled). Here every kill and every loss of
# power is met; of failing calls and damaged pages a part is (testdb.SweepPart).
sweep: tools
	$(call say,sweeps)
	@SNAPD_SWEEP=$(SWEEP) $(GO) test -vet=off -count=1 -timeout 24h -run '$(SWEEPS)' $(SWEPT)

# Soaks are the tests in files named soak_test.go or …_soak_test.go. Some exist only
# with the build tag, others do more when SNAPD_SOAK is set, which is also the
# duration of the timed ones (testdb.SoakTime). All end by themselves.
soak: tools
	@$(GO) list -f '{{.Dir}}' ./... | while read -r dir; do \
		tests=$$(cat "$$dir"/soak_test.go "$$dir"/*_soak_test.go 2>/dev/null | sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' | paste -sd '|' || true); \
		if [ -z "$$tests" ]; then continue; fi; \
		printf '\n== soak %s: %s (%s)\n' "$$dir" "$$tests" "$$(date -u +%T)"; \
		SNAPD_SOAK=$(SOAK) $(GO) test -tags soak -count=1 -v -run "^($$tests)\$$" -timeout 60m "$$dir" </dev/null; \
	done

# Without -fuzzminimizetime Go spends up to a minute on minimising each interesting
# input, which can be the whole of a short run.
fuzz:
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			printf '\n== %s %s\n' "$$package" "$$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x "$$package"; \
		done; \
	done

screenshots: tools
	@SNAPD_SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -C $(BROWSER) -tags screenshots -count=1 -run '^TestScreenshots$$' .

fmt:
	@for module in $(MODULES); do (cd $$module; $(GO) fmt ./...); done

clean:
	@rm -f snapd snapd.exe
