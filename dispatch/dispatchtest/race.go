//go:build race

package dispatchtest

// largePayload is smaller under the race detector, which looks at every byte
// that is copied.
const largePayload = 1 << 20
