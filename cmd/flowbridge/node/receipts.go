package node

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"flowbridge/internal/periodic"
	"flowbridge/store"
	"flowbridge/store/receipt"
	"flowbridge/store/record"
)

// receipts is the node's chain of receipts. It begins with the first call that is told something.
type receipts struct {
	node *Node

	mu    sync.Mutex
	chain *receipt.Chain // nil until it is open
}

// headEvery is how often receivers are told the head of the chain.
const headEvery = 24 * time.Hour

// open returns the chain.
func (r *receipts) open() (*receipt.Chain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain != nil {
		return r.chain, nil
	}
	chain, err := receipt.Open(store.ReceiptsPath(r.node.config().Store.Path), r.node.name, r.node.log)
	if err == nil {
		r.chain = chain
	}
	return chain, err
}

// Write writes the receipt of a call, and returns when it is on the disk.
func (r *receipts) Write(id string, at time.Time, t record.Told) error {
	chain, err := r.open()
	if err != nil {
		return err
	}
	return chain.Write(id, at, t)
}

// wanted reports whether there is a chain, or will be one.
func (r *receipts) wanted() bool {
	cfg := r.node.config()
	_, err := os.Stat(store.ReceiptsPath(cfg.Store.Path))
	return err == nil || cfg.Tells()
}

// start opens the chain if there is one, so that the log says early what is wrong with it.
func (r *receipts) start() {
	r.node.add(part{close: r.close})
	if !r.wanted() {
		return
	}
	if _, err := r.open(); err != nil {
		r.node.log.Error().Err(err).Msg("can't open the receipts of what callers are told: trying again with each call")
	}
}

// tend tells receivers the head of the chain each day, and removes old receipts each hour, until ctx ends.
func (r *receipts) tend(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { r.purge(); periodic.Run(ctx, purgeEvery, r.purge) })
	both.Go(func() { r.tellHead(); periodic.Run(ctx, headEvery, r.tellHead) })
	both.Wait()
}

// tellHead logs the head of the chain, and tells the webhooks' receivers, so that somebody else keeps it.
func (r *receipts) tellHead() {
	if !r.wanted() {
		return
	}
	chain, err := r.open()
	if err != nil {
		return // start and Write say so
	}
	hash, n := chain.Head()
	if n == 0 {
		return
	}
	r.node.log.Info().Int64("receipts", n).Str("sha256", hash).Msg("head of the receipts: keep it elsewhere")
	r.node.webhooks.TellHead(r.node.name, n, hash)
}

// purge removes receipts that are older than store.keep, unless their call is under a legal hold.
func (r *receipts) purge() {
	if !r.wanted() {
		return
	}
	chain, err := r.open()
	if err != nil {
		return // start and Write say so
	}
	held, err := r.node.eraser.held()
	var gone int64
	if err == nil {
		limit := time.Now().Add(-r.node.config().Store.Keep)
		gone, err = chain.Purge(limit, func(call string) bool { return slices.Contains(held, call) })
	}
	if gone > 0 {
		r.node.log.Info().Int64("receipts", gone).Msg("old receipts removed")
	}
	if err != nil {
		r.node.log.Warn().Err(err).Msg("old receipts not removed")
	}
}

func (r *receipts) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain == nil {
		return nil
	}
	return r.chain.Close()
}
