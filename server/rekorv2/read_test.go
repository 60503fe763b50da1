package rekorv2

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	rekorpb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"indelible/internal/answers"
	"indelible/merkle"
)

// bundles is a log whose bundles take until hold is closed.
type bundles struct {
	Log
	size   int
	hold   chan struct{}
	making atomic.Int32
}

func (b *bundles) Bundle(context.Context, merkle.Bundle) ([]byte, error) {
	b.making.Add(1)
	<-b.hold
	return make([]byte, b.size), nil
}

// TestBundlesTakeTurns: however many ask, few are in memory.
func TestBundlesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bundles{size: 1, hold: make(chan struct{})}
		s := New(Config{Log: log})
		maxLoads := answers.HeavyPlaces()
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error)
		const asking = 20
		for range asking {
			go func() {
				_, err := s.GetEntryBundle(ctx, &rekorpb.EntryBundleRequest{N: "000"})
				results <- err
			}()
		}
		synctest.Wait()
		if n := log.making.Load(); int(n) != maxLoads {
			t.Errorf("%d at the same time", n)
		}
		cancel() // who waits for a turn goes
		for range asking - maxLoads {
			if err := <-results; status.Code(err) != codes.Canceled {
				t.Error(err)
			}
		}
		close(log.hold)
		for range maxLoads {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBundleThatIsTooLargeForAMessage(t *testing.T) {
	log := &bundles{size: maxMessage, hold: make(chan struct{})}
	close(log.hold)
	s := New(Config{Log: log})
	if b, err := s.GetEntryBundle(t.Context(), &rekorpb.EntryBundleRequest{N: "x001/067"}); err != nil || len(b.GetData()) != maxMessage {
		t.Errorf("%d bytes, %v", len(b.GetData()), err)
	}
	log.size++
	_, err := s.GetEntryBundle(t.Context(), &rekorpb.EntryBundleRequest{N: "x001/067"})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "at /tile/entries/x001/067") {
		t.Error(err)
	}
}

// hangingTiles is a log over a database that does not answer.
type hangingTiles struct{ Log }

func (hangingTiles) Tile(ctx context.Context, _ merkle.Tile) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestReadsHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := New(Config{Log: hangingTiles{}}).GetTile(t.Context(), &rekorpb.TileRequest{N: "000"})
		if took := time.Since(begin); took != loadTimeout || status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
