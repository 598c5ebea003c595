//go:build !race

package dispatchtest

import "thermocline"

const largePayload = thermocline.MaxPayload
