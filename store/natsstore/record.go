package natsstore

import (
	"encoding/json"
	"fmt"
	"time"

	"thermocline"
)

// recordVersion is the layout of the stored values. A larger one was written by
// a newer program and is refused, not guessed at.
const recordVersion = 1

// record is one version of a function as it is stored.
type record struct {
	Version  int            `json:"v"`
	Function functionRecord `json:"function"`

	// Environment is sealed JSON; absent when the function has none.
	Environment []byte `json:"environment,omitempty"`

	// Incarnation is made with the function and carried by its versions: a
	// version of another one is left over and does not count.
	Incarnation string `json:"incarnation"`

	// Highest is the largest number that was ever published of this
	// incarnation. Only $LATEST has it.
	Highest uint64 `json:"highest,omitempty"`

	function *thermocline.Function
}

type functionRecord struct {
	Region          string                   `json:"region,omitempty"`
	Description     string                   `json:"description,omitempty"`
	Runtime         string                   `json:"runtime,omitempty"`
	Handler         string                   `json:"handler,omitempty"`
	Role            string                   `json:"role,omitempty"`
	Architecture    string                   `json:"architecture,omitempty"`
	MemoryMB        int                      `json:"memory_mb,omitempty"`
	TmpMB           int                      `json:"tmp_mb,omitempty"`
	Timeout         time.Duration            `json:"timeout_ns,omitempty"`
	CodeSHA256      string                   `json:"code_sha256,omitempty"`
	CodeSize        int64                    `json:"code_size,omitempty"`
	Layers          []string                 `json:"layers,omitempty"`
	Extra           map[string][]byte        `json:"extra,omitempty"`
	Revision        string                   `json:"revision,omitempty"`
	Generation      int64                    `json:"generation,omitempty"`
	State           thermocline.State        `json:"state,omitempty"`
	StateReason     string                   `json:"state_reason,omitempty"`
	StateReasonCode string                   `json:"state_reason_code,omitempty"`
	LastUpdate      thermocline.UpdateStatus `json:"last_update,omitempty"`
	LastModified    time.Time                `json:"last_modified,omitzero"`
}

// encode makes the value of an entry. The environment is bound to the key.
func (r *record) encode(s *sealer, key string, f *thermocline.Function) ([]byte, error) {
	r.Version = recordVersion
	r.Function = functionRecord{
		Region: f.Region, Description: f.Description, Runtime: f.Runtime, Handler: f.Handler,
		Role: f.Role, Architecture: f.Architecture, MemoryMB: f.MemoryMB, TmpMB: f.TmpMB, Timeout: f.Timeout,
		CodeSHA256: f.CodeSHA256, CodeSize: f.CodeSize, Layers: f.Layers, Extra: f.Extra,
		Revision: f.Revision, Generation: f.Generation, State: f.State, StateReason: f.StateReason,
		StateReasonCode: f.StateReasonCode, LastUpdate: f.LastUpdate, LastModified: f.LastModified,
	}
	r.Environment = nil
	if f.Environment != nil {
		text, err := json.Marshal(f.Environment)
		if err != nil {
			return nil, fmt.Errorf("encode the environment of %s: %w", key, err)
		}
		r.Environment = s.seal(key, text)
	}
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", key, err)
	}
	return value, nil
}

// decodeRecord is the inverse.
func decodeRecord(s *sealer, key string, value []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fmt.Errorf("decode %s: %w", key, err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("decode %s: it has layout %d, this program knows %d", key, r.Version, recordVersion)
	}
	id, ok := functionID(key)
	if !ok {
		return nil, fmt.Errorf("decode %s: not the key of a function", key)
	}
	var env map[string]string
	if r.Environment != nil {
		text, err := s.open(key, r.Environment)
		if err != nil {
			return nil, fmt.Errorf("decode the environment of %s: %w", key, err)
		}
		if err := json.Unmarshal(text, &env); err != nil {
			return nil, fmt.Errorf("decode the environment of %s: %w", key, err)
		}
	}
	f := &r.Function
	r.function = &thermocline.Function{
		FunctionID: id,
		Region:     f.Region, Description: f.Description, Runtime: f.Runtime, Handler: f.Handler,
		Role: f.Role, Architecture: f.Architecture, MemoryMB: f.MemoryMB, TmpMB: f.TmpMB, Timeout: f.Timeout,
		Environment: env,
		CodeSHA256:  f.CodeSHA256, CodeSize: f.CodeSize, Layers: f.Layers, Extra: f.Extra,
		Revision: f.Revision, Generation: f.Generation, State: f.State, StateReason: f.StateReason,
		StateReasonCode: f.StateReasonCode, LastUpdate: f.LastUpdate, LastModified: f.LastModified,
	}
	return r, nil
}

func functionKey(id thermocline.FunctionID) string {
	return join(id.Account, id.Name, id.Version)
}

func functionID(key string) (thermocline.FunctionID, bool) {
	p, ok := split(key)
	if !ok || len(p) != 3 {
		return thermocline.FunctionID{}, false
	}
	return thermocline.FunctionID{Account: p[0], Name: p[1], Version: p[2]}, true
}
