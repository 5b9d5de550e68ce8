# What a developer types. `make test` is what CI runs.

.PHONY: build test quick race fuzz model e2e package lint bench load demo

build: ## the static binary
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o flowbridge ./cmd/flowbridge

test: ## everything
	./scripts/test.sh

# What waits for processes, disks or networks most of the time.
SLOW := /cmd/flowbridge$$|/node$$|/store$$|/store/|/media$$|/media/kernel|/media/recording|/media/answerer|/sim

quick: ## what to run after each change: no root, nothing to install
	go vet ./...
	RAPID_CHECKS=30 go test -vet=off -short -p 4 $$(go list ./... | grep -vE '$(SLOW)')

race: ## unit and protocol tests
	go test -race ./...
	go -C scripts test -race ./...

fuzz: ## each fuzz target for 30 seconds
	./scripts/fuzz.sh 30s

model: ## calls at random for an hour
	./scripts/model.sh 60

e2e: ## SIPp and baresip against the real binary
	go test -tags e2e -count=1 ./cmd/flowbridge/e2e

package: ## the Debian packages, in dist/
	./scripts/package

lint:
	golangci-lint run ./...
	golangci-lint run --build-tags e2e ./cmd/flowbridge/e2e/...
	cd scripts && golangci-lint run ./...
	cd scripts/helm && golangci-lint run ./...

bench: ## the hot paths
	go test -run '^$$' -bench . -benchmem ./media ./b2bua/... ./store

load: ## 100 calls a second for 30 seconds
	./scripts/load.sh 100 3000

demo:
	go run ./cmd/flowbridge demo
