package frontend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"thermocline"
)

// publication is what $LATEST remembers of its last published version.
type publication struct {
	Last   int    // the last number given away; numbers are not used again
	Digest string // of $LATEST when it was published
}

// digest tells whether $LATEST has changed since.
func digest(f *thermocline.Function) string {
	h := sha256.New()
	e := json.NewEncoder(h)
	shown := make(map[string]string)
	for field, value := range f.Extra {
		if !strings.HasPrefix(field, ".") {
			shown[field] = string(value)
		}
	}
	_ = e.Encode([]any{
		f.Description, f.Runtime, f.Handler, f.Role, f.Architecture, f.MemoryMB, f.TmpMB, f.Timeout,
		f.Environment, f.CodeSHA256, f.Layers, shown,
	}) // all of it encodes, and a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

// newVersion is the numbered version that $LATEST becomes. It has the state
// that $LATEST has, without an update in progress.
func (s *Server) newVersion(latest *thermocline.Function, number int, description string) *thermocline.Function {
	v := latest.Clone()
	v.Version = strconv.Itoa(number)
	v.Revision = uuid.NewString()
	v.Generation = s.opts.Now().UnixNano()
	maps.DeleteFunc(v.Extra, func(field string, _ []byte) bool { return strings.HasPrefix(field, ".") })
	if description != "" {
		v.Description = description
	}
	if v.LastUpdate == thermocline.UpdateInProgress {
		v.State, v.StateReason, v.StateReasonCode = thermocline.StatePending, reasonCreating, reasonCodeCreating
		v.LastUpdate = ""
	}
	return v
}
