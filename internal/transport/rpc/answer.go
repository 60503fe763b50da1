package rpc

import (
	"context"
	"runtime"

	"google.golang.org/grpc/mem"

	"indelible/internal/answers"
	"indelible/internal/transport"
)

// answered is the answer to a call, and what it holds until it was sent.
type answered struct {
	msg    any
	answer *answers.Answer
	conn   transport.Connection
}

// endable has the gate close the connection of a client that does not take its
// answer, when others need the memory: gRPC has no other way to end a call that has
// returned.
func (h answered) endable() {
	if !h.conn.Known() {
		return
	}
	h.answer.EndBy(func() {
		go func() { // the gate has its lock
			h.conn.Cut()
			h.answer.Done()
		}()
	})
}

// holding has a call's answer hold what it takes until it was sent: gRPC keeps it
// after the call has returned, for as long as its client does not read.
func (c calls) holding(ctx context.Context, handle func(context.Context) (any, error)) (res any, err error) {
	if c.Answers == nil {
		return handle(ctx)
	}
	ctx, a := c.Answers.Begin(ctx, nil)
	sent := false
	defer func() {
		if !sent {
			a.Done()
		}
	}()
	res, err = handle(ctx)
	if sent = err == nil && a.Held(); sent {
		return answered{res, a, connectionOfCall(ctx)}, nil
	}
	return res, err
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	h, ok := v.(answered)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	data, err := c.CodecV2.Marshal(h.msg)
	if err != nil || data.Len() <= transport.SmallBody {
		h.answer.Done()
		return data, err
	}
	h.answer.Made()
	h.endable()
	bytes := data.MaterializeToBuffer(mem.DefaultBufferPool())
	data.Free()
	whole := bytes.ReadOnlyData()
	// A connection that ends may leave its buffers to the garbage collector.
	runtime.AddCleanup(&whole, (*answers.Answer).Done, h.answer)
	return mem.BufferSlice{mem.NewBuffer(&whole, sending{bytes, h.answer})}, nil
}

// sending is told when a buffer was sent.
type sending struct {
	bytes  mem.Buffer
	answer *answers.Answer
}

// Get implements mem.BufferPool, and is not called.
func (sending) Get(length int) *[]byte { return mem.DefaultBufferPool().Get(length) }

// Put implements mem.BufferPool.
func (s sending) Put(*[]byte) {
	s.bytes.Free()
	s.answer.Done()
}
