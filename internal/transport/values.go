package transport

// A request has some 40 bytes a value. One of many more values than that would
// cost many times its size, as messages, before anybody can say what is wrong with
// it.
const (
	anyValues     = 4096 // that any request may have: some of 1,024 short raw entries
	bytesPerValue = 16   // of a larger one
	mostValues    = 1 << 16
)

// MaxValues is how many values a request of a size in bytes may have.
func MaxValues(size int) int { return min(anyValues+size/bytesPerValue, mostValues) }
